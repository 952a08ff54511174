import pytest
import torch
from torch import Tensor, nn

from training.fit.evaluation import measure
from training.fit.loop import best_epoch
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
