from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from training.common.errors import TrainingError
from training.fit.options import Options, configure
from training.fit.schedule import Schedule
from training.fit.train import _checkpoints, _settings


def chosen(**options: Any) -> Any:
    return configure(Options(folders={}, out=Path(), **options))


def test_photos_vary_in_full_mode_and_where_they_have_several_views() -> None:
    assert chosen().augment == "light"
    assert chosen(weights="DEFAULT").augment == "none"
    assert chosen(weights="DEFAULT", views=5).augment == "light"
    assert chosen(weights="DEFAULT", views=5, augment="photo").augment == "photo"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": 2}, "--views is for --mode head"),
        ({"weights": "DEFAULT", "augment": "light"}, "or add --views 5"),
        ({"weights": "DEFAULT", "views": 2, "augment": "none"}, "are all the same"),
        ({"weights": "DEFAULT", "backbone_lr": 0.5}, "--backbone-lr is for --mode full"),
        ({"weights": "DEFAULT", "ema": 0.9}, "--ema is for --mode full"),
        ({"weights": "DEFAULT", "batch_norm": "frozen"}, "--batch-norm frozen is for --mode full"),
        ({"batch_norm": "frozen"}, "--batch-norm frozen keeps the statistics that the weights came with"),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        chosen(**options)


def test_a_checkpoint_of_the_version_before_is_of_the_same_settings() -> None:
    """It knows neither of class weights nor of patience."""
    newer = {"class_weights", "patience"}
    assert not newer & _settings(Schedule(1, 8, 0.1, 0)).keys()
    asked = _settings(Schedule(1, 8, 0.1, 0, class_weights="balanced", patience=3))
    assert {name: asked[name] for name in newer} == {"class_weights": "balanced", "patience": 3}


def test_checkpoints_belong_to_the_set_of_weights_that_training_began_with(tmp_path: Path) -> None:
    def identity(**options: Any) -> dict[str, Any]:
        asked = Options(folders={}, out=tmp_path, checkpoints=tmp_path, **options)
        dataset: Any = SimpleNamespace(survey=SimpleNamespace(fingerprint="f"))
        network: Any = SimpleNamespace(architecture="resnet18", rule=SimpleNamespace(crop=32))
        made = _checkpoints(network, dataset, configure(asked), "float32")
        assert made is not None
        return dict(made.identity)

    assert "weights key" not in identity(weights="DEFAULT"), "checkpoints of the version before resume"
    assert identity(weights="DEFAULT", weights_key="ema")["weights key"] == "ema"
