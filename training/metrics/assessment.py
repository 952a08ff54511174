"""Everything that is worth knowing of a model's answers to one split."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from training.metrics.calibration import BINS, Calibration, calibration

TOP = 5
NORMAL_95 = 1.959963984540054
"""95 % of a normal distribution lie within so many standard deviations of its mean."""

LISTED_CONFUSIONS = 20


@dataclass(frozen=True)
class ClassScore:
    """How good the answers are for one class.

    Parameters
    ----------
    precision
        Share of the answers with this class that are right; None if there is no such answer.
    recall
        Share of the class's photos that are recognised; None if it has none.
    """

    precision: float | None
    recall: float | None
    images: int


@dataclass(frozen=True)
class Confusion:
    """So many photos of the class ``true`` were taken for ``predicted``; both are indices."""

    true: int
    predicted: int
    images: int


@dataclass(frozen=True)
class Assessment:
    """How good a model is on one split.

    Parameters
    ----------
    interval
        What the accuracy on all such photos may well be, see ``wilson``.
    top5
        Share of the photos whose class is among the five most probable; None with five classes or fewer.
    uncalibrated
        The same at temperature 1; None if the temperature is not known.
    confusion
        Counts of shape [classes, classes]: true class, predicted class.
    """

    images: int
    accuracy: float
    interval: tuple[float, float]
    top5: float | None
    calibrated: Calibration
    uncalibrated: Calibration | None
    confusion: Tensor

    @property
    def loss(self) -> float:
        """Mean negative log-likelihood in nats."""
        return self.calibrated.loss

    @property
    def classes(self) -> tuple[ClassScore, ...]:
        """Return the score of each class."""
        right, answered, shown = self.confusion.diagonal(), self.confusion.sum(0), self.confusion.sum(1)
        return tuple(
            ClassScore(hits / answers if answers else None, hits / images if images else None, images)
            for hits, answers, images in zip(right.tolist(), answered.tolist(), shown.tolist(), strict=True)
        )

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the classes' recalls: plain accuracy if every class had as many photos as any other."""
        return _mean(score.recall for score in self.classes if score.recall is not None)

    @property
    def macro_f1(self) -> float:
        """Mean of the classes' F1 scores (harmonic means of precision and recall) over all that occur.

        As scikit-learn has it: 0 for a class of which nothing is right
        (https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html).
        """
        right, occurring = self.confusion.diagonal().tolist(), (self.confusion.sum(0) + self.confusion.sum(1)).tolist()
        return _mean(2 * hits / both for hits, both in zip(right, occurring, strict=True) if both)

    @property
    def by_class(self) -> str:
        """Return the numbers that do not hide what a rare class comes to."""
        return f"balanced accuracy {self.balanced_accuracy:.4f}, macro F1 {self.macro_f1:.4f}"

    def confusions(self, most: int = LISTED_CONFUSIONS) -> list[Confusion]:
        """Return the most frequent mistakes, the most frequent first.

        Parameters
        ----------
        most
            How many of them at most.
        """
        mistakes = self.confusion - self.confusion.diagonal().diag()
        counts, cells = mistakes.flatten().sort(descending=True, stable=True)
        listed = min(most, int((counts > 0).sum()))
        size = len(mistakes)
        return [Confusion(cell // size, cell % size, int(counts[i])) for i, cell in enumerate(cells[:listed].tolist())]

    def as_manifest(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return what the manifest says: everything but the matrix and the bins, which are in the report.

        Parameters
        ----------
        labels
            Of the classes, in the order of the model's output.
        """
        scores = [{"label": label, **asdict(score)} for label, score in zip(labels, self.classes, strict=True)]
        confusions = [
            {"true": labels[confusion.true], "predicted": labels[confusion.predicted], "images": confusion.images}
            for confusion in self.confusions()
        ]
        before = self.uncalibrated
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": list(self.interval),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            **({} if self.top5 is None else {"top5_accuracy": self.top5}),
            "loss": self.loss,
            "images": self.images,
            "calibration_error": self.calibrated.error,
            "calibration_bins": BINS,
            **({} if before is None else {"uncalibrated": {"loss": before.loss, "calibration_error": before.error}}),
            "classes": scores,
            "confusions": confusions,
        }


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def assess(logits: Tensor, targets: Tensor, temperature: float | None) -> Assessment:
    """Compare a model's logits with the truth.

    Parameters
    ----------
    logits, targets
        Shapes [photos, classes] and [photos], of at least one photo.
    temperature
        Of the probabilities; None if it is not known, and ``logits`` are those of the calibrated probabilities.
    """
    logits = logits.double()
    images, size = logits.shape
    answers = logits.argmax(1)
    hits = int((answers == targets).sum())
    return Assessment(
        images=images,
        accuracy=hits / images,
        interval=wilson(hits, images),
        top5=(logits.topk(TOP).indices == targets[:, None]).any(1).double().mean().item() if size > TOP else None,
        calibrated=calibration(logits / (temperature or 1.0), targets),
        uncalibrated=None if temperature is None else calibration(logits, targets),
        confusion=torch.bincount(targets * size + answers, minlength=size * size).view(size, size),
    )


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the bounds that hold the true share in 95 of 100 such samples, also near 0 and 1, where few mistakes are.

    Wilson's score interval (https://doi.org/10.1080/01621459.1927.10502953), which
    https://doi.org/10.1214/ss/1009213286 recommends for small samples.

    Parameters
    ----------
    hits, trials
        How many photos are right, and how many there are; at least one.
    """
    share, square = hits / trials, NORMAL_95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    reach = NORMAL_95 / (1 + square / trials) * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)
