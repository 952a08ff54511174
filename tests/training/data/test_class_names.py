import json
from pathlib import Path

import pytest

from training.common.errors import TrainingError
from training.data.class_names import read_classes


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\n",
        "\n  cat \r\ndog",
        "\ufeffcat\ndog\n",
        json.dumps(["cat", "dog"]),
        json.dumps({"1": "dog", "0": "cat"}),
        json.dumps({"dog": 1, "cat": 0}),
        json.dumps({"schema": 1, "classes": [{"name": "cat", "label": "Cat"}, {"name": "dog", "label": "Dog"}]}),
    ],
)
def test_names_are_read_from_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text, encoding="utf-8")
    assert read_classes(tmp_path / "names") == ["cat", "dog"]


@pytest.mark.parametrize("inside", ["", "train"])
def test_folders_count_in_the_order_of_their_names(tmp_path: Path, inside: str) -> None:
    for name in ("10.cat", "9.dog", ".hidden", "Ant"):
        (tmp_path / inside / name).mkdir(parents=True)
    (tmp_path / inside / "labels.csv").touch()
    assert read_classes(tmp_path) == ["10.cat", "9.dog", "Ant"]


@pytest.mark.parametrize(
    "text", ["", "cat", "[]", "[1, 2]", '{"cat": 1, "dog": 2}', '{"0": "cat", "2": "dog"}', "{", "cat\n1.dog\n2.dog"]
)
def test_what_names_no_classes_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(TrainingError, match="--classes") as caught:
        read_classes(tmp_path / "names")
    assert "\n" not in str(caught.value)
