import pytest

from training.metrics.commonest import no_better


@pytest.mark.parametrize(
    ("accuracy", "counts", "warned"),
    [
        (37 / 360, [36] * 10, True),  # MobileNetV3 on the sample, all photos taken for one class
        (0.12, [36] * 10, True),  # guessed
        (0.20, [36] * 10, False),
        (0.90, [90, 10], True),
        (0.93, [90, 10], True),
        (0.98, [90, 10], False),
        (0.0, [4, 4, 4], True),
        (1.0, [1, 1], False),
        (1.0, [3, 0], False),  # of a split with one class nobody can tell
    ],
)
def test_a_result_that_naming_one_class_reaches_too_is_told(accuracy: float, counts: list[int], warned: bool) -> None:
    said = no_better(accuracy, counts)
    assert bool(said) is warned
    if warned:
        assert said.startswith(f"accuracy {accuracy:.4f} is no better than always answering the most common class")
        assert f"({max(counts) / sum(counts):.4f} of {sum(counts)}" in said
        assert "try --weights DEFAULT" in said
        assert "\n" not in said
