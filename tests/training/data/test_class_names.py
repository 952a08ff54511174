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
        json.dumps({"dog": "1", "cat": "0"}),
        json.dumps({"cat": 1, "dog": 2}),
        json.dumps({"2": "dog", "1": "cat"}),
        json.dumps({"n02": "dog", "n01": "cat"}),
        json.dumps({"schema": 1, "classes": [{"name": "cat", "label": "Cat"}, {"name": "dog", "label": "Dog"}]}),
    ],
)
def test_names_are_read_from_a_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text, encoding="utf-8")
    assert read_classes(tmp_path / "names").names == ["cat", "dog"]


@pytest.mark.parametrize("inside", ["", "train"])
def test_folders_count_in_the_order_of_their_names(tmp_path: Path, inside: str) -> None:
    for name in ("10.cat", "9.dog", ".hidden", "Ant"):
        (tmp_path / inside / name).mkdir(parents=True)
    (tmp_path / inside / "labels.csv").touch()
    assert read_classes(tmp_path).names == ["10.cat", "9.dog", "Ant"]


def test_of_folders_with_photos_those_without_do_not_count(data: Path) -> None:
    """As ``fit`` and ``check`` count; a class more or less would shift all after it."""
    (data / "train" / "000.Empty").mkdir()
    (data / "train" / "__MACOSX").mkdir()
    assert read_classes(data).names == ["001.Red_setter", "002.Green_dog", "003.Blue_heeler"]
    (data / "train" / "000.Empty" / "x.heic").write_bytes(b"x")
    with pytest.raises(TrainingError, match=r"000\.Empty has 1 file \(\.heic\) and no JPEG, PNG or WebP photo"):
        read_classes(data)


def test_names_that_look_the_same_are_refused(tmp_path: Path) -> None:
    (tmp_path / "names").write_text(json.dumps(["\u00e9pagneul", "e\u0301pagneul"]))
    with pytest.raises(TrainingError, match="several classes with the label"):
        read_classes(tmp_path / "names")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cat",
        "[]",
        "[1, 2]",
        '{"cat": 2, "dog": 3}',
        '{"cat": 0, "dog": 0}',
        '{"cat": 0, "dog": 2}',
        '{"0": "cat", "1": 7}',
        '{"0": "cat", "2": "dog"}',
        "{",
        "cat\n1.dog\n2.dog",
    ],
)
def test_what_names_no_classes_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "names").write_text(text)
    with pytest.raises(TrainingError, match="--classes") as caught:
        read_classes(tmp_path / "names")
    assert "\n" not in str(caught.value)


def test_keys_from_1_on_are_folders_in_the_order_of_texts(tmp_path: Path) -> None:
    """As in the ``cat_to_name.json`` of courses: ImageFolder has folder 10 before folder 2."""
    (tmp_path / "cat_to_name.json").write_text(json.dumps({str(key): f"flower {key}" for key in range(1, 103)}))
    found = read_classes(tmp_path / "cat_to_name.json")
    assert found.by_key is not None
    assert found.names == [found.by_key[key] for key in sorted(found.by_key)]
    assert found.names[:4] == ["flower 1", "flower 10", "flower 100", "flower 101"]
    assert found.taken == "its keys are read as folder names, in ImageFolder's order: 1, 10, 100 ..."


def test_keys_from_0_on_are_the_models_outputs(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(json.dumps({str(key): f"dog {key}" for key in range(12)}))
    assert read_classes(tmp_path / "names.json").names == [f"dog {key}" for key in range(12)]


def test_a_part_of_such_a_map_is_read_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "names.json").write_text(json.dumps({"1": "pink primrose", "2": "hard-leaved", "10": "globe"}))
    assert read_classes(tmp_path / "names.json").names == ["pink primrose", "globe", "hard-leaved"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"cat": 0, "dog": 2}, "its numbers go up to 2, but 1 is missing; number the 2 classes from 0 to 1"),
        ({"0": "cat", "2": "dog"}, "its keys go up to 2, but 1 is missing; number the 2 classes from 0 to 1"),
        ({"cat": 5, "dog": 6}, "its numbers go up to 6, but 0 is missing"),
        ({"cat": 1, "dog": 1}, "several names have the same number; number the classes from 0"),
    ],
)
def test_a_map_that_leaves_open_which_is_which_says_why(tmp_path: Path, content: object, reason: str) -> None:
    (tmp_path / "names").write_text(json.dumps(content))
    with pytest.raises(TrainingError) as caught:
        read_classes(tmp_path / "names")
    assert reason in str(caught.value)
