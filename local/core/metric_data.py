"""What CloudWatch takes in one PutMetricData."""

from collections.abc import Iterator
from typing import Any

DATA_PER_CALL = 1000
"""Most data in one PutMetricData call (CloudWatch API reference)."""


def split_into_calls(data: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the data of each call that it takes to put them all."""
    for start in range(0, len(data), DATA_PER_CALL):
        yield data[start : start + DATA_PER_CALL]
