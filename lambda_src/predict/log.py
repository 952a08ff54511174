"""Structured logs: one line of JSON an event, for CloudWatch Logs Insights to query."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any


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
    line = {"level": level, **fields}
    if exception is not None:
        line["exception"] = "".join(traceback.format_exception(exception))
    sys.stdout.write(json.dumps(line, default=str) + "\n")
    sys.stdout.flush()
