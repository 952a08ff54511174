import pytest
import torch

from training.fit.calibration import fit_temperature


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_temperature_undoes_overconfidence_and_modesty(scale: float) -> None:
    torch.manual_seed(0)
    honest = torch.randn(20_000, 5)
    targets = torch.distributions.Categorical(logits=honest).sample()  # type: ignore[no-untyped-call]
    assert fit_temperature(honest * scale, targets) == pytest.approx(scale, rel=0.05)


def test_without_a_mistake_to_learn_from_the_temperature_stays_one() -> None:
    assert fit_temperature(torch.eye(4) * 3, torch.arange(4)) == 1


def test_a_model_that_only_guesses_gets_a_bounded_temperature() -> None:
    torch.manual_seed(0)
    assert 0 < fit_temperature(torch.randn(50, 3), torch.randint(0, 3, (50,))) <= 10
