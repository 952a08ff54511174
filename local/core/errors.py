"""The errors of the embedded AWS, by who has to read them."""

from typing import Any


class LocalError(Exception):
    """Something that the user of the command line can put right; the message is one line and says what to do."""


class ServiceError(Exception):
    """An error answer of a simulated AWS service.

    Parameters
    ----------
    code
        The error code that SDKs show and match, for example ``ValidationException``.
    message
        AWS's text.
    status
        The HTTP status.
    fields
        Further members of the error's body, for example ``OriginalStatusCode`` of a ``ModelError``.
    """

    def __init__(self, code: str, message: str, status: int = 400, **fields: Any) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.fields = fields


class NotFoundError(ServiceError):
    """What an operation names does not exist."""


class InstanceError(Exception):
    """An endpoint instance could not be started; the message is what AWS puts into ``FailureReason``."""


class JobError(Exception):
    """A training job failed; the message is what AWS puts into ``FailureReason``."""


class DeploymentError(Exception):
    """An update has to be taken back though its instances are healthy; the message goes into ``FailureReason``."""


def validation_error(message: str) -> ServiceError:
    """Return the error that most AWS services answer to a request they cannot accept."""
    return ServiceError("ValidationException", message)
