"""Structured logs: one line of JSON an event, for CloudWatch Logs Insights to query."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

MAX_CHARACTERS = 500
"""Most characters of a value. A remote host chooses some of them, such as its status line."""
_MAX_TRACEBACK_CHARACTERS = 10_000


def log(level: str, fields: dict[str, Any], exception: BaseException | None = None) -> None:
    """Write ``fields`` as one line on standard output, which Lambda passes on as it is.

    Parameters
    ----------
    level
        ``INFO``, ``WARN`` or ``ERROR``, as Lambda's log filter knows them.
    fields
        What happened. Never the photo or the URL: a path or query may hold a secret.
    exception
        Adds its traceback.
    """
    line = {"level": level, **{name: _capped(value, MAX_CHARACTERS) for name, value in fields.items()}}
    if exception is not None:
        line["exception"] = _capped("".join(traceback.format_exception(exception)), _MAX_TRACEBACK_CHARACTERS)
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()


def _capped(value: Any, most: int) -> Any:
    """Return ``value``; of a string that is too long, its first and its last characters."""
    if not isinstance(value, str) or len(value) <= most:
        return value
    return f"{value[: most // 2]} ... {value[-most // 2 :]}"
