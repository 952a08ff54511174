"""Honest probabilities."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """Return the temperature that makes probabilities honest (https://arxiv.org/abs/1706.04599).

    It minimises the cross-entropy on the validation split, and is 1 where that split has no mistake: the best
    temperature would then be 0, which claims certainty.

    Parameters
    ----------
    logits, targets
        Shapes [photos, classes] and [photos].
    """
    if bool((logits.argmax(1) == targets).all()):
        return 1.0
    logits = logits.double()
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_temperature.exp(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    # Beyond these bounds the split says nothing reliable: a model that only guesses has no best temperature.
    return min(max(log_temperature.exp().item(), 0.1), 10.0)
