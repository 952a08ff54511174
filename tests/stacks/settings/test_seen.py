"""No setting escapes the proofs: each has each of its faces in a settings file that the gates and golden policies see.

The faces of a setting are those that can change what is built: present and absent, true and false, each word of a
choice, off (0) and on where 0 is allowed. Inside a table that may itself be absent, absent and off are not asked for:
the table's own absence shows them.
"""

import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

import annotated_types
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stacks.settings import Settings
from tests.stacks.environments import EVERY, settings_of

Place = tuple[str, ...]
Face = tuple[Place, str]

FREE = {("environment",)}
"""Fields that are a name: they have no faces."""


def faces(model: type[BaseModel], place: Place = (), *, certain: bool = True) -> Iterator[Face]:
    """Yield every face that has to be shown; ``certain`` says that every settings file has this table."""
    for name, field in model.model_fields.items():
        here = (*place, name)
        if here in FREE:
            continue
        yield from ((here, face) for face in _own_faces(field, certain=certain))
        for kind in _kinds(field.annotation):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from faces(kind, here, certain=certain and field.is_required())


def _own_faces(field: FieldInfo, *, certain: bool) -> Iterator[str]:
    """Yield the faces of a field that is no table."""
    if not field.is_required():
        yield from ("absent", "present") if certain else ("present",)
    if _may_be_zero(field):
        yield from ("zero", "not zero") if certain else ("not zero",)
    for kind in _kinds(field.annotation):
        if kind is bool:
            yield from ("true", "false")
        if typing.get_origin(kind) is Literal:
            yield from (word for word in typing.get_args(kind) if isinstance(word, str))


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of, without Annotated, unions and lists."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Annotated, list):
        yield from _kinds(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation


def _may_be_zero(field: FieldInfo) -> bool:
    return any(isinstance(rule, annotated_types.Ge) and rule.ge == 0 for rule in field.metadata)


def shown(settings: BaseModel, place: Place = ()) -> Iterator[Face]:
    """Yield the faces that the settings of one environment show."""
    for name, field in type(settings).model_fields.items():
        here, value = (*place, name), getattr(settings, name)
        if not field.is_required():
            yield here, "absent" if value == field.get_default(call_default_factory=True) else "present"
        if isinstance(value, bool):
            yield here, str(value).lower()
        elif isinstance(value, str):
            yield here, value
        elif _may_be_zero(field) and value is not None:
            yield here, "not zero" if value else "zero"
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                yield from shown(part, here)


def unseen(environments: list[str]) -> set[Face]:
    """Return the faces that no settings file shows."""
    return set(faces(Settings)) - {face for environment in environments for face in shown(settings_of(environment))}


def test_every_face_of_every_setting_is_seen() -> None:
    missing = sorted(f"{'.'.join(place)}: {face}" for place, face in unseen(EVERY))
    assert not missing, f"show it in a file of tests/stacks/settings: {missing}"


@pytest.mark.parametrize("environment", ["everything", "serverless", "shadow"])
def test_no_settings_file_of_the_tests_is_superfluous(environment: str) -> None:
    assert unseen([other for other in EVERY if other != environment])


def test_every_kind_of_container_and_processor_is_seen() -> None:
    endpoints = [settings_of(environment).endpoint for environment in EVERY]
    variants = [variant for endpoint in endpoints for variant in endpoint.production_variants]
    variants += [endpoint.shadow_variant for endpoint in endpoints if endpoint.shadow_variant]
    assert {variant.container for variant in variants} > {"ray", "image"}
    assert {variant.architecture for variant in variants} == {"arm64", "x86_64"}
