"""What botocore's service models say about a request beyond its types: enums, patterns, lengths, ranges.

botocore's own validator knows required members, types and minima; a service also checks the rest, and answers
in the wording below (seen on SageMaker and Application Auto Scaling alike).
"""

import re
from collections.abc import Iterator
from typing import Any


def find_violations(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """Yield one sentence of AWS's for every constraint of the shape that the value breaks.

    Parameters
    ----------
    shape
        Of botocore's service model.
    value
        What has the shape's type.
    path
        Where it stands in the request, for example ``tags.1.member``; empty for the request itself.
    """
    for constraint in _find_broken(shape, value):
        yield f"Value '{value}' at '{path}' failed to satisfy constraint: Member must {constraint}"
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                yield from find_violations(shape.members[name], member, _join(path, name[:1].lower() + name[1:]))
    elif shape.type_name == "list":
        for index, member in enumerate(value, start=1):
            yield from find_violations(shape.member, member, _join(path, f"{index}.member"))
    elif shape.type_name == "map":
        for key, member in value.items():
            yield from find_violations(shape.value, member, _join(path, key))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _find_broken(shape: Any, value: Any) -> Iterator[str]:
    bounds = shape.metadata
    if "enum" in bounds and value not in bounds["enum"]:
        yield f"satisfy enum value set: [{', '.join(bounds['enum'])}]"
    if isinstance(value, str):
        if "pattern" in bounds and not _matches(bounds["pattern"], value):
            yield f"satisfy regular expression pattern: {bounds['pattern']}"
        if len(value) > bounds.get("max", len(value)):
            yield f"have length less than or equal to {bounds['max']}"
        if len(value) < bounds.get("min", 0):
            yield f"have length greater than or equal to {bounds['min']}"
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if value > bounds.get("max", value):
            yield f"have value less than or equal to {bounds['max']}"
        if value < bounds.get("min", value):
            yield f"have value greater than or equal to {bounds['min']}"


def _matches(pattern: str, value: str) -> bool:
    """Match as the service does, the whole value; a pattern that only Java understands lets everything pass."""
    try:
        return re.fullmatch(pattern, value) is not None
    except re.error:
        return True
