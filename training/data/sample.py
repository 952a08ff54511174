"""A data set to begin with: scikit-learn's digits as photos in folders."""

import filecmp
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from training.common.errors import TrainingError
from training.common.files import workspace

SIDE = 32
"""Pixels. The digits were scanned at 32 x 32; the data set keeps the ink in each 4 x 4 block of that
(https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits)."""

TEST, VALID = 360, 270
"""Photos of 1797: a fifth, and 15 %."""


def write_sample(folder: Path) -> dict[str, int] | None:
    """Write the digits as ``folder/{train,valid,test}/<digit>/<number>.png``, the same bytes every time.

    Each split has each digit in the same proportion.

    Returns
    -------
    The number of photos in each split; None if they all were there already.

    Raises
    ------
    TrainingError
        The folder holds something else, or cannot be written.
    """
    digits = load_digits()
    numbers = np.arange(len(digits.target))
    rest, test = train_test_split(numbers, test_size=TEST, stratify=digits.target, random_state=0)
    train, valid = train_test_split(rest, test_size=VALID, stratify=digits.target[rest], random_state=0)
    splits = {"train": train, "valid": valid, "test": test}
    with workspace(folder.absolute()) as made:
        for split, members in splits.items():
            for digit in digits.target_names:
                (made / split / str(digit)).mkdir(parents=True)
            for number in members:
                ink = Image.fromarray((digits.images[number] * 255 / 16).round().astype(np.uint8))  # 16 levels of grey
                photo = ink.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                photo.save(made / split / str(digits.target[number]) / f"{number:04}.png")
        if folder.is_dir() and any(folder.iterdir()):
            if not _same(made, folder):
                raise TrainingError(f"{folder} already has other files; choose another folder, or remove it")
            return None
        try:
            made.rename(folder)  # an empty folder gives way
        except OSError as error:
            raise TrainingError(f"{folder} cannot be written: {error.strerror}; choose another folder") from error
    return {split: len(members) for split, members in splits.items()}


def _same(one: Path, other: Path) -> bool:
    comparison = filecmp.dircmp(one, other, ignore=[])
    if comparison.left_only or comparison.right_only or comparison.funny_files:
        return False
    _, different, unreadable = filecmp.cmpfiles(one, other, comparison.common_files, shallow=False)
    return not different and not unreadable and all(_same(one / d, other / d) for d in comparison.common_dirs)
