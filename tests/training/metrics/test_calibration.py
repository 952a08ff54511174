import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training.common.errors import TrainingError
from training.metrics.calibration import BINS, calibration, fit_temperature


def sampled(photos: int = 20_000, classes: int = 5) -> tuple[Tensor, Tensor]:
    """Return logits that are honest, and targets."""
    torch.manual_seed(0)
    logits = torch.randn(photos, classes)
    return logits, torch.distributions.Categorical(logits=logits).sample()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_temperature_undoes_overconfidence_and_modesty(scale: float) -> None:
    honest, targets = sampled()
    temperature = fit_temperature(honest * scale, targets)
    assert temperature == pytest.approx(scale, rel=0.05)
    before, after = (calibration(honest * scale / each, targets) for each in (1.0, temperature))
    assert after.loss < before.loss
    assert after.error < before.error / 5


def test_no_other_temperature_has_a_lower_loss() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(60, 4) * 3, torch.randint(0, 4, (60,))
    logits[range(60), targets] += 3
    best = fit_temperature(logits, targets)
    losses = {t: F.cross_entropy(logits.double() / t, targets) for t in (0.1, best / 1.001, best, best * 1.001, 10.0)}
    assert min(losses, key=lambda t: losses[t]) == best


def test_without_a_mistake_to_learn_from_the_temperature_stays_one() -> None:
    assert fit_temperature(torch.eye(4) * 3, torch.arange(4)) == 1


@pytest.mark.parametrize(("scale", "bound"), [(1e-6, 0.1), (1e6, 10.0)])
def test_logits_of_any_size_get_a_bounded_temperature(scale: float, bound: float) -> None:
    honest, targets = sampled(500)
    assert fit_temperature(honest * scale, targets) == pytest.approx(bound)


def test_a_model_that_only_guesses_gets_a_bounded_temperature() -> None:
    torch.manual_seed(0)
    assert 0 < fit_temperature(torch.randn(50, 3), torch.randint(0, 3, (50,))) <= 10
    assert 0 < fit_temperature(torch.zeros(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])) <= 10


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_are_the_users_to_know_of(value: float) -> None:
    with pytest.raises(TrainingError, match="not finite"):
        fit_temperature(torch.tensor([[value, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))


def test_the_error_is_the_mean_gap_over_fifteen_bins_of_equal_width() -> None:
    # Two classes, so the logit of p is log(p / (1 - p)): two photos answered with 0.9, one right; one with 0.6, right.
    shares = torch.tensor([0.9, 0.9, 0.6], dtype=torch.float64)
    logits = torch.stack([(shares / (1 - shares)).log(), torch.zeros(3, dtype=torch.float64)], 1)
    found = calibration(logits, torch.tensor([0, 1, 0]))
    assert found.error == pytest.approx((2 * abs(0.9 - 0.5) + 1 * abs(0.6 - 1.0)) / 3)
    filled = {number: each for number, each in enumerate(found.bins) if each.photos}
    assert {number: each.photos for number, each in filled.items()} == {8: 1, 13: 2}
    assert len(found.bins) == BINS == 15
    assert filled[13].confidence == pytest.approx(0.9)
    assert filled[13].accuracy == 0.5


def test_a_bin_has_its_upper_bound_and_certainty_is_in_the_last() -> None:
    # Three equal logits: a probability of exactly a third, the upper bound of the fifth bin.
    found = calibration(torch.tensor([[0.0, 0.0, 0.0], [1000.0, 0.0, 0.0]]), torch.tensor([0, 0]))
    assert [number for number, each in enumerate(found.bins) if each.photos] == [4, 14]


def test_the_loss_is_the_mean_negative_log_likelihood() -> None:
    logits, targets = sampled(100)
    expected = -logits.double().softmax(1)[range(100), targets].log().mean().item()
    assert calibration(logits, targets).loss == pytest.approx(expected)
