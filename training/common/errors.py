"""What a user can put right, and what ends a command without being a mistake."""

import re


class TrainingError(Exception):
    """The user's data, arguments or machine do not allow this; the message says in one line what to do."""


class Stopped(BaseException):
    """SIGTERM or Ctrl-C asked for the end; the message says in one line what is kept.

    SageMaker sends SIGTERM when a job is stopped or its spot instance is taken back, and kills after 120 seconds
    (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html). It comes in whatever place,
    so it is no ``Exception``: whoever makes an unreadable photo of all that goes wrong must not make one of this.

    Parameters
    ----------
    status
        Of the process that ends by it: 128 and the signal's number, as shells have it.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.message, self.status = message, status

    def __str__(self) -> str:
        """Return the message."""
        return self.message


class AlreadyTold(Exception):  # noqa: N818 another process has the error
    """Another of torchrun's processes says why all of them end; this one ends with ``status`` and without a word."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def one_line(text: str) -> str:
    """Return a text without what would break its line or steer a terminal: names of files and classes may hold that."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
