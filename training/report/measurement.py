"""What the splits said of a model: the numbers for the manifest, and more for the page."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from training.metrics.assessment import Assessment
from training.metrics.commonest import no_better
from training.report.thumbnails import Mistake


@dataclass(frozen=True)
class Findings:
    """What a split said of a model.

    Parameters
    ----------
    split
        Its name: ``test``.
    mistakes
        The worst of them, see ``thumbnails.worst``.
    photos_sha256
        Which photos these are, see ``photos_digest``.
    validation
        What the split said that chose the epoch and the temperature, if that is known.
    """

    split: str
    assessment: Assessment
    mistakes: Sequence[Mistake]
    photos_sha256: str
    validation: Assessment | None = None

    def metrics(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the manifest's part for each split that was measured.

        Parameters
        ----------
        labels
            Of the classes, in the order of the model's output.
        """
        measured = {self.split: self.assessment.as_manifest(labels) | {"photos_sha256": self.photos_sha256}}
        return measured if self.validation is None else measured | {"validation": self.validation.as_manifest(labels)}

    @property
    def warning(self) -> str:
        """Return a line about a result that is no result, see ``no_better``; empty for any other."""
        return no_better(self.assessment.accuracy, self.assessment.confusion.sum(1).tolist())

    def __str__(self) -> str:
        """Return a line for people, who read too much into few photos."""
        low, high = self.assessment.interval
        right = round(self.assessment.accuracy * self.assessment.images)
        return (
            f"{right} of {self.assessment.images} right; with 95 % confidence, {low:.4f} to {high:.4f} of all such "
            f"photos; calibration error {self.assessment.calibrated.error:.4f}"
        )


def photos_digest(digests: Iterable[str]) -> str:
    """Return one hash for a set of photos, whatever their names and order.

    Parameters
    ----------
    digests
        SHA-256 of each file.
    """
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
