"""The photos of one training, read once on each machine."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from training.common.errors import TrainingError
from training.data.layout import Photos, find
from training.data.survey import Survey, survey
from training.fit import distributed


@dataclass(frozen=True)
class Dataset:
    """The photos of each split, and what reading each of them once told."""

    photos: Photos
    survey: Survey

    @property
    def images(self) -> dict[str, int]:
        """The number of photos of each split."""
        return {split: len(listed) for split, listed in self.photos.splits.items()}

    def without_test(self) -> "Dataset":
        """Return the splits that training may see."""
        kept = ("train", "valid")
        splits = {split: self.photos.splits[split] for split in kept}
        folders = {split: self.photos.folders[split] for split in kept}
        return replace(self, photos=replace(self.photos, splits=splits, folders=folders))

    def facts(self, division: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what the manifest says of the photos.

        Parameters
        ----------
        division
            How they were divided into splits, if Kennel did that.
        """
        facts: dict[str, Any] = {"fingerprint": self.survey.fingerprint}
        if division is not None:
            facts["split"] = dict(division)
        return facts | {"images": self.images, "findings": self.survey.findings}


def load_dataset(folders: Mapping[str, Path]) -> Dataset:
    """Find the photos of each split, and read each of them once.

    Raises
    ------
    TrainingError
        They cannot be learnt from, or the machines of a training do not hold the same photos.
    """
    listed = find(dict(folders))
    if distributed.size() == 1:
        return Dataset(listed, survey(listed))
    mine = survey(listed) if distributed.first_here() else None
    surveys = [theirs for theirs in distributed.everyone(mine) if theirs is not None]
    if any(theirs.fingerprint != surveys[0].fingerprint for theirs in surveys):
        raise TrainingError("the machines do not hold the same photos: each process needs all of them")
    return Dataset(listed, surveys[0])
