import pytest
import torch
from torch import Tensor, nn

from training.fit.evaluation import measure
from training.fit.loop import Learner, best_epoch
from training.fit.schedule import Schedule


@pytest.mark.parametrize(
    ("accuracies", "best"), [([0.5, 1.0, 0.75], 2), ([0.25, 0.5, 0.75], 3), ([0.75, 0.5, 0.75], 1)]
)
def test_the_best_validation_epoch_is_kept(accuracies: list[float], best: int) -> None:
    module = nn.Linear(1, 1, bias=False)

    def epoch(number: int) -> float:
        nn.init.constant_(module.weight, number + 1)
        return 0.0

    def validate() -> tuple[Tensor, Tensor]:
        right = int(4 * accuracies[int(module.weight.item()) - 1])
        return torch.eye(2)[[0] * right + [1] * (4 - right)], torch.zeros(4, dtype=torch.long)

    outcome = best_epoch(module, Schedule(3, 1, 1, 0), epoch, validate)
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
        learner(module(torch.ones(1, 1)), torch.zeros(1, dtype=torch.long))  # one class: there is nothing to learn
        assert module.weight.item() == pytest.approx(1 - 0.1 * decay)
        assert module.bias.item() == 1.0
