from pathlib import Path
from typing import Any

import pytest

from training.errors import TrainingError
from training.fit.options import Options, plan


def chosen(**options: Any) -> Any:
    return plan(Options(folders={}, out=Path(), **options))


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
    ],
)
def test_views_and_augmentation_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        chosen(**options)
