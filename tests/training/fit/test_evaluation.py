import pytest
import torch

from training.fit.evaluation import measure


def test_metrics_count_and_average() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]])
    metrics = measure(logits, torch.tensor([0, 1, 1, 0]))
    assert (metrics.accuracy, metrics.images) == (0.75, 4)
    assert metrics.loss == pytest.approx((3 * 0.126928 + 2.126928) / 4, abs=1e-5)
