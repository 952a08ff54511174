from bench.architectures import FAMILIES
from tests.training.fit.test_batch_norm import SLOW
from training.common.torchvision_compat import models


def family(architecture: str) -> str:
    return str(models.get_model_builder(architecture).__module__).rpartition(".")[2]


def test_every_family_and_every_momentum_in_it_is_trained() -> None:
    kinds = {(family(name), SLOW.get(name)) for name in models.list_models(module=models)}
    assert {(family(name), SLOW.get(name)) for name in FAMILIES} == kinds
