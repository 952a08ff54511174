import json

import numpy as np
import pytest
import torch
from scipy.stats import binomtest  # type: ignore[import-untyped]
from sklearn import metrics as reference
from torch import Tensor

from training.metrics.assessment import Assessment, Confusion, assess, wilson

LABELS = [f"class {number}" for number in range(7)]


def answers(classes: int = 7, photos: int = 200) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    targets = torch.randint(0, classes, (photos,))
    logits = torch.randn(photos, classes)
    logits[range(photos), targets] += 2
    logits[:, classes - 1] -= 10  # never answered
    return logits, targets


def test_every_number_is_scikit_learns() -> None:
    logits, targets = answers()
    chosen, probabilities = logits.argmax(1).numpy(), (logits / 1.5).double().softmax(1).numpy()
    found = assess(logits, targets, 1.5)
    truth = targets.numpy()
    assert found.accuracy == reference.accuracy_score(truth, chosen)
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(truth, chosen))
    assert found.macro_f1 == pytest.approx(reference.f1_score(truth, chosen, average="macro"))
    assert found.top5 == reference.top_k_accuracy_score(truth, probabilities, k=5)
    assert found.loss == pytest.approx(reference.log_loss(truth, probabilities))
    assert found.uncalibrated is not None
    assert found.uncalibrated.loss == pytest.approx(reference.log_loss(truth, logits.double().softmax(1).numpy()))
    assert np.array_equal(found.confusion.numpy(), reference.confusion_matrix(truth, chosen))
    precision, recall, _, support = reference.precision_recall_fscore_support(truth, chosen, zero_division=np.nan)
    for number, score in enumerate(found.classes):
        assert score.images == support[number]
        assert score.recall == pytest.approx(recall[number])
        assert (score.precision is None) == bool(np.isnan(precision[number]))
        assert score.precision is None or score.precision == pytest.approx(precision[number])
    assert [score.precision is None for score in found.classes] == [False] * 6 + [True]


def test_a_class_without_photos_has_no_recall() -> None:
    found = assess(torch.eye(3), torch.tensor([0, 1, 1]), None)
    assert [score.recall for score in found.classes] == [1.0, 0.5, None]
    assert found.balanced_accuracy == 0.75
    assert found.macro_f1 == pytest.approx(reference.f1_score([0, 1, 1], [0, 1, 2], average="macro", zero_division=0))


def test_a_class_that_is_never_answered_shows_where_accuracy_hides_it() -> None:
    found = assess(torch.tensor([[1.0, 0.0]] * 100), torch.tensor([0] * 99 + [1]), None)
    assert found.accuracy == 0.99
    assert found.balanced_accuracy == 0.5
    assert found.macro_f1 < 0.5
    assert found.by_class == f"balanced accuracy 0.5000, macro F1 {found.macro_f1:.4f}"


@pytest.mark.parametrize(("classes", "has"), [(2, False), (5, False), (6, True)])
def test_top_five_is_told_where_there_are_more_than_five_classes(classes: int, has: bool) -> None:
    logits = torch.arange(classes).flip(0).float().repeat(2, 1)
    found = assess(logits, torch.tensor([0, classes - 1]), 1.0)
    assert found.top5 == (0.5 if has else None)
    assert ("top5_accuracy" in found.as_manifest(LABELS[:classes])) == has


def test_confusions_come_by_frequency_and_leave_out_what_is_right() -> None:
    truth, said = [0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 0, 1, 2, 2]
    found = assess(torch.nn.functional.one_hot(torch.tensor(said), 3).float(), torch.tensor(truth), 1.0)
    assert found.confusions() == [Confusion(0, 1, 2), Confusion(1, 0, 1), Confusion(2, 1, 1)]
    assert found.confusions(1) == [Confusion(0, 1, 2)]


@pytest.mark.parametrize(("hits", "trials"), [(81, 263), (15, 148), (0, 20), (29, 29)])
def test_the_interval_is_wilsons(hits: int, trials: int) -> None:
    expected = binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits, trials) == pytest.approx((expected.low, expected.high))


def test_the_interval_narrows_with_the_number_of_photos_and_holds_the_share() -> None:
    reaches = []
    for trials in (10, 100, 1000):
        low, high = wilson(trials * 9 // 10, trials)
        assert 0 <= low < 0.9 < high <= 1
        reaches.append(high - low)
    assert reaches == sorted(reaches, reverse=True)
    assert wilson(5, 5)[0] > 0.5  # nobody can claim certainty


def test_the_manifests_form_is_json_without_the_matrix() -> None:
    logits, targets = answers(133, 836)
    labels = [f"Some breed with a name {number}" for number in range(133)]
    found = assess(logits, targets, 1.5)
    written = found.as_manifest(labels)
    text = json.dumps(written, indent=2)
    assert len(text) < 50_000
    again = json.loads(text)
    assert again == written
    assert (again["accuracy"], again["loss"], again["images"]) == (found.accuracy, found.loss, 836)
    assert (again["balanced_accuracy"], again["macro_f1"]) == (found.balanced_accuracy, found.macro_f1)
    assert again["accuracy_interval"][0] < again["accuracy"] < again["accuracy_interval"][1]
    assert again["uncalibrated"]["calibration_error"] != again["calibration_error"]
    assert again["classes"][132]["label"] == labels[132]
    assert again["classes"][132]["precision"] is None
    assert len(again["confusions"]) == 20


def test_without_a_temperature_there_is_no_before() -> None:
    logits, targets = answers()
    found: Assessment = assess(logits, targets, None)
    assert found.uncalibrated is None
    assert found.calibrated == assess(logits, targets, 1.0).calibrated
    assert "uncalibrated" not in found.as_manifest(LABELS)
