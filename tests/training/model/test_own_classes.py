"""The classes that a checkpoint names are used, and who contradicts them hears it."""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.common.errors import TrainingError
from training.data.class_names import ClassNames, names_of_map
from training.model.own_classes import by_folders, own_classes, reconcile
from training.model.weights_file import read_weights

COUNTED: defaultdict[str, Any] = defaultdict(int, cat=np.int64(1), dog=np.int64(0))
FOUND = ClassNames(["dog", "cat"])


@pytest.mark.parametrize(
    "beside",
    [
        {"class_to_idx": {"cat": 1, "dog": 0}},
        {"class_to_idx": COUNTED},
        {"class_to_idx": {"cat": 2, "dog": 1}},
        {"idx_to_class": {0: "dog", 1: "cat"}},
        {"class_names": ["dog", "cat"]},
        {"classes": np.array(["dog", "cat"])},
        {"classes": np.array(["dog", "cat"], dtype=object)},
        {"hyper_parameters": {"class_names": ["dog", "cat"]}},
        {"args": argparse.Namespace(classes=("dog", "cat"))},
        {"classes": 2, "args": argparse.Namespace(class_names=["dog", "cat"])},
    ],
)
def test_a_checkpoints_own_classes_are_found(beside: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"state_dict": {"fc.weight": torch.ones(2, 2)}, **beside}, tmp_path / "model.pth")
    content = read_weights(tmp_path / "model.pth", tmp_path).content
    found = own_classes(content, 2, "model.pth")
    assert found is not None
    assert found[0].names == ["dog", "cat"]


@pytest.mark.parametrize("content", [{}, {"classes": 2}, {"class_names": None}, {"args": 3}])
def test_what_is_no_names_is_none(content: dict[str, Any]) -> None:
    assert own_classes(content, 2, "model.pth") is None


def test_a_checkpoint_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(
        TrainingError, match="contradicts itself: its classes has 2 classes, and its model has 3; save it"
    ):
        own_classes({"classes": ["dog", "cat"]}, 3, "model.pth")


def test_the_first_difference_is_shown() -> None:
    reason = (
        "--classes f calls the model's output 0 cat, and the checkpoint's class_to_idx calls it dog; "
        "leave out --classes"
    )
    with pytest.raises(TrainingError, match=reason):
        reconcile(FOUND, "class_to_idx", ClassNames(["cat", "dog"]), "--classes f")
    with pytest.raises(TrainingError, match="--classes f has 3 classes, and the checkpoint's class_to_idx has 2"):
        reconcile(FOUND, "class_to_idx", ClassNames(["dog", "cat", "cow"]), "--classes f")
    assert reconcile(FOUND, "classes", ClassNames(["001.dog", "002.cat"]), "--classes f") == ["001.dog", "002.cat"]


def test_a_map_of_folders_goes_with_the_order_of_the_checkpoint() -> None:
    """The flowers: ``class_to_idx`` has the folders, ``cat_to_name.json`` their names."""
    own = names_of_map({"1": 0, "10": 1, "2": 2})
    others = names_of_map({"1": "primrose", "2": "rose", "10": "globe"})
    assert reconcile(own, "class_to_idx", others, "cat_to_name.json") == ["primrose", "globe", "rose"]
    own = names_of_map({str(each): each - 1 for each in range(1, 13)})  # in the order of numbers this time
    others = names_of_map({str(each): f"flower {each}" for each in range(1, 13)})
    assert reconcile(own, "class_to_idx", others, "f")[:2] == ["flower 1", "flower 2"]


def test_photos_are_matched_by_the_names_of_their_folders() -> None:
    assert by_folders(FOUND, "classes", ["1.cat", "2.dog"], "train") == ["2.dog", "1.cat"]
    with pytest.raises(TrainingError, match="the checkpoint's classes has the class cat, and train does not"):
        by_folders(FOUND, "classes", ["cow", "dog"], "train")
    with pytest.raises(TrainingError, match="train has the class cow, and the checkpoint's classes does not"):
        by_folders(FOUND, "classes", ["cat", "cow", "dog"], "train")
