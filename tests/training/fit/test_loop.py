import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from training.fit.evaluation import measure
from training.fit.loop import Learner, TrainResult, balanced, best_epoch
from training.fit.schedule import Schedule


def trained(module: nn.Linear, accuracies: list[float], schedule: Schedule) -> TrainResult:
    """Train so that the weight is the number of the epoch."""

    def epoch(number: int) -> float:
        nn.init.constant_(module.weight, number + 1)
        return 0.0

    def validate() -> tuple[Tensor, Tensor]:
        right = int(4 * accuracies[int(module.weight.item()) - 1])
        return torch.eye(2)[[0] * right + [1] * (4 - right)], torch.zeros(4, dtype=torch.long)

    return best_epoch(module, schedule, epoch, validate)


@pytest.mark.parametrize(
    ("accuracies", "best"), [([0.5, 1.0, 0.75], 2), ([0.25, 0.5, 0.75], 3), ([0.75, 0.5, 0.75], 1)]
)
def test_the_best_validation_epoch_is_kept(accuracies: list[float], best: int) -> None:
    module = nn.Linear(1, 1, bias=False)
    outcome = trained(module, accuracies, Schedule(3, 1, 1, 0))
    assert outcome.epoch == best
    assert module.weight.item() == best
    assert measure(outcome.validation_logits, outcome.validation_targets).accuracy == max(accuracies)
    assert [(epoch.number, epoch.validation.accuracy) for epoch in outcome.history] == list(enumerate(accuracies, 1))


def test_weights_decay_as_much_as_asked_and_biases_do_not() -> None:
    for decay in (0.0, 0.5):
        module = nn.Linear(1, 1)
        nn.init.constant_(module.weight, 1.0)
        nn.init.constant_(module.bias, 1.0)
        learner = Learner(module, Schedule(1, 1, lr=0.1, seed=0, weight_decay=decay), steps=1)
        learner.step(module(torch.ones(1, 1)), torch.zeros(1, dtype=torch.long))  # one class: there is nothing to learn
        assert module.weight.item() == pytest.approx(1 - 0.1 * decay)
        assert module.bias.item() == 1.0


@pytest.mark.parametrize(("patience", "epochs"), [(None, 6), (1, 2), (2, 5), (3, 6), (9, 6)])
def test_patience_ends_training_after_epochs_that_are_no_better(patience: int | None, epochs: int) -> None:
    module = nn.Linear(1, 1, bias=False)
    accuracies = [0.5, 0.25, 0.75, 0.5, 0.5, 1.0]
    outcome = trained(module, accuracies, Schedule(6, 1, 1, 0, patience=patience))
    assert len(outcome.history) == epochs
    assert module.weight.item() == outcome.epoch == accuracies.index(max(accuracies[:epochs])) + 1


def test_balanced_weights_are_scikit_learns() -> None:
    targets = [0] * 6 + [1] * 3 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(targets))
    assert balanced(targets).tolist() == pytest.approx(expected.tolist())


def test_balanced_classes_have_the_same_say() -> None:
    """With as many photos of a class as one likes, a model that cannot tell them apart names none the likelier."""
    targets = torch.tensor([0] * 9 + [1])
    shares = []
    for weights in ("none", "balanced"):
        module = nn.Linear(1, 2, bias=False)
        nn.init.zeros_(module.weight)
        schedule = Schedule(1, 10, lr=0.1, seed=0, weight_decay=0.0, class_weights=weights, shape="cosine")
        learner = Learner(module, schedule, steps=200, targets=targets.tolist())
        for _ in range(200):
            learner.step(module(torch.ones(10, 1)), targets)
        shares.append(module.weight[:, 0].softmax(0)[1].item())
    assert shares == pytest.approx([0.1, 0.5], abs=0.01)


def test_parts_of_a_batch_make_the_gradient_of_the_whole() -> None:
    targets = torch.tensor([0, 0, 0, 1])
    schedule = Schedule(1, 4, lr=0.1, seed=0, class_weights="balanced", label_smoothing=0.1)
    learner = Learner(nn.Linear(1, 2), schedule, steps=1, targets=targets.tolist())
    logits = torch.randn(4, 2)
    whole = learner._loss(logits, targets)
    parts = [learner._loss(logits[part], targets[part]) for part in (slice(0, 1), slice(1, 4))]
    assert (parts[0] / 4 + parts[1] * 3 / 4).item() == pytest.approx(whole.item())
