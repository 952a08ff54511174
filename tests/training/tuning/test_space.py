"""The file that says what a search may try."""

from pathlib import Path

import pytest

from training.common.errors import TrainingError
from training.tuning.space import SEARCH, Choices, Numbers, read_space


def test_the_file_of_the_settings_is_one_and_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_space(SEARCH)["lr"] == Numbers(0.0003, 0.01, whole=False, log=True)


def test_each_kind_of_range_is_read(tmp_path: Path) -> None:
    file = tmp_path / "search.toml"
    file.write_text(
        '[epochs]\nlow = 3\nhigh = 9\n[arch]\nvalues = ["resnet18", "resnet34"]\n[ema]\nlow = 0\nhigh = 0.9'
    )
    assert read_space(file) == {
        "epochs": Numbers(3, 9, whole=True),
        "arch": Choices(("resnet18", "resnet34")),
        "ema": Numbers(0, 0.9),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lists no option"),
        ("[lr", "not valid TOML"),
        ("lr = 1", r"\[lr\] is not a table"),
        ("[lr]\nlow = 1", r"\[lr\] needs two numbers, low and high"),
        ('[lr]\nlow = "a"\nhigh = 2', r"\[lr\] needs two numbers, low and high"),
        ("[lr]\nlow = true\nhigh = 2", r"\[lr\] needs two numbers, low and high"),
        ("[lr]\nlow = 2\nhigh = 2", "low = 2 must be below high = 2"),
        ("[lr]\nlow = 0\nhigh = inf", r"\[lr\] needs two numbers, low and high"),
        ("[lr]\nlow = 0\nhigh = nan", r"\[lr\] needs two numbers, low and high"),
        ('[lr]\nlow = 0\nhigh = 2\nscale = "log"', "low = 0 must be above 0"),
        ('[lr]\nlow = 1\nhigh = 2\nscale = "cubic"', 'scale = "cubic"'),
        ("[lr]\nlow = 1\nhigh = 2\nstep = 1", r"\[lr\] has the unknown key step"),
        ("[lr]\nvalues = []", "a list with at least one value"),
        ("[lr]\nvalues = [1, 1]", "has the same value twice"),
        ("[lr]\nvalues = [true]", "numbers or strings"),
        ("[lr]\nvalues = [1]\nlow = 1", "has values and other keys"),
    ],
)
def test_a_mistake_is_one_line_that_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "search.toml"
    file.write_text(text)
    with pytest.raises(TrainingError, match=said) as caught:
        read_space(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not exist; give another --space"):
        read_space(tmp_path / "search.toml")
