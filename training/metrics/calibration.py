"""Honest probabilities: how honest they are, and what makes them so."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.common.errors import TrainingError

BINS = 15
"""As in https://arxiv.org/abs/1706.04599; of equal width, each with its upper bound and without its lower one."""

LOWEST, HIGHEST = 0.1, 10.0
"""Temperatures beyond which a split says nothing reliable: a model that only guesses has no best one."""


@dataclass(frozen=True)
class Bin:
    """The photos whose best probability lies within a fifteenth of 0 to 1.

    Parameters
    ----------
    confidence, accuracy
        Mean of their best probabilities, and the share of them that is right; 0 where there are no photos.
    """

    photos: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """How honest probabilities are.

    Parameters
    ----------
    loss
        Mean negative log-likelihood of the true class, in nats. It counts being right and being honest at once.
    error
        Expected calibration error: how far accuracy and confidence lie apart, the mean over all photos of their bins'.
    """

    loss: float
    error: float
    bins: tuple[Bin, ...]


def calibration(logits: Tensor, targets: Tensor) -> Calibration:
    """Compare how sure a model is with how often it is right.

    Parameters
    ----------
    logits, targets
        Shapes [photos, classes] and [photos].
    """
    logits = logits.double()
    confidence, answers = logits.softmax(1).max(1)
    right = (answers == targets).double()
    bounds = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]
    numbers = torch.bucketize(confidence, bounds)
    counts = torch.bincount(numbers, minlength=BINS)
    sums = [torch.zeros(BINS, dtype=torch.float64).index_add_(0, numbers, values) for values in (confidence, right)]
    means = torch.stack(sums) / counts.clamp(min=1)
    gaps = (means[0] - means[1]).abs() * counts / max(1, len(targets))
    return Calibration(
        loss=F.cross_entropy(logits, targets).item(),
        error=gaps.sum().item(),
        bins=tuple(Bin(*counted) for counted in zip(counts.tolist(), *means.tolist(), strict=True)),
    )


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature that makes probabilities honest (https://arxiv.org/abs/1706.04599).

    It minimises the cross-entropy on the validation split, and is 1 where that split has no mistake: the best
    temperature would then be 0, which claims certainty.

    Parameters
    ----------
    logits, targets
        Shapes [photos, classes] and [photos].

    Raises
    ------
    TrainingError
        A logit is not finite.
    """
    if not bool(logits.isfinite().all()):
        raise TrainingError("the model's outputs are not finite: training diverged; choose a smaller --lr")
    if bool((logits.argmax(1) == targets).all()):
        return 1.0
    logits = logits.double()
    true = logits.gather(1, targets[:, None])[:, 0]
    low, high = LOWEST, HIGHEST
    while high / low > 1 + 1e-12:
        middle = math.sqrt(low * high)
        # The cross-entropy is convex in 1 / temperature, and this is its slope.
        expected = ((logits / middle).softmax(1) * logits).sum(1)
        low, high = (middle, high) if bool((expected - true).mean() > 0) else (low, middle)
    return min(max(math.sqrt(low * high), LOWEST), HIGHEST)
