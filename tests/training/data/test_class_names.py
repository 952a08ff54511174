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


def test_of_folders_with_photos_those_without_do_not_count(data: Path) -> None:
    """As ``fit`` and ``check`` count; a class more or less would shift all after it."""
    (data / "train" / "000.Empty").mkdir()
    (data / "train" / "__MACOSX").mkdir()
    assert read_classes(data) == ["001.Red_setter", "002.Green_dog", "003.Blue_heeler"]
    (data / "train" / "000.Empty" / "x.heic").write_bytes(b"x")
    with pytest.raises(TrainingError, match=r"000\.Empty has 1 file \(\.heic\) and no photo"):
        read_classes(data)


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    (tmp_path / "names").write_text(json.dumps(["\u00e9pagneul", "e\u0301pagneul"]))
    with pytest.raises(TrainingError, match="several classes with the label"):
        read_classes(tmp_path / "names")


@pytest.mark.parametrize(
    "text", ["", "cat", "[]", "[1, 2]", '{"cat": 1, "dog": 2}', '{"0": "cat", "2": "dog"}', "{", "cat\n1.dog\n2.dog"]
)
def test_what_names_no_classes_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(TrainingError, match="--classes") as caught:
        read_classes(tmp_path / "names")
    assert "\n" not in str(caught.value)
