"""AWS's refusals, as they meet a service of the embedded AWS that calls another one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from local.core.errors import ServiceError

CALL_FAILED = (ClientError, BotoCoreError)
"""What a client raises when a call fails."""

CALL_FAILED_AS_ROLE = (*CALL_FAILED, ServiceError)
"""The same, and what `Account.assume` raises."""


@contextmanager
def translate_failures(translate: Callable[[str], Exception]) -> Iterator[None]:
    """Raise another error in place of a failed call.

    Parameters
    ----------
    translate
        Returns the error for AWS's words.
    """
    try:
        yield
    except CALL_FAILED as error:
        raise translate(str(error)) from error
