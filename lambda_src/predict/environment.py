"""The function's settings, as the stack passes them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self


class Environment(NamedTuple):
    """Settings from environment variables.

    Attributes
    ----------
    endpoint_name
        ``ENDPOINT_NAME``: the SageMaker endpoint that answers.
    fetch_timeout
        ``FETCH_TIMEOUT_SECONDS``: how long the whole fetch of a URL may take.
    invoke_timeout
        ``INVOKE_TIMEOUT_SECONDS``: how long the endpoint may take, a second attempt included. Both timeouts end with
        the function's own, less half a second.
    max_image_bytes
        ``MAX_IMAGE_BYTES``: the largest photo. 4.5 MB is what base64 leaves of Lambda's 6 MB
        (https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
    """

    endpoint_name: str
    fetch_timeout: float = 5.0
    invoke_timeout: float = 20.0
    max_image_bytes: int = 4_500_000

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Self:
        """Read the variables, the defaults standing in for absent ones.

        Raises
        ------
        RuntimeError
            For a variable that is missing or not a number above zero; Lambda then logs it as an init error.
        """
        if not variables.get("ENDPOINT_NAME"):
            raise RuntimeError("ENDPOINT_NAME is not set: set it to the name of the SageMaker endpoint.")
        defaults: dict[str, Any] = cls._field_defaults
        return cls(
            variables["ENDPOINT_NAME"],
            _positive(variables, "FETCH_TIMEOUT_SECONDS", defaults["fetch_timeout"]),
            _positive(variables, "INVOKE_TIMEOUT_SECONDS", defaults["invoke_timeout"]),
            int(_positive(variables, "MAX_IMAGE_BYTES", defaults["max_image_bytes"])),
        )


def _positive(variables: Mapping[str, str], name: str, default: float) -> float:
    text = variables.get(name, str(default))
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise RuntimeError(f"{name} is {text!r}: it must be a number above zero.")
    return number
