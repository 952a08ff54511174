"""What a user can put right, and what ends a command without being a mistake."""


class TrainingError(Exception):
    """The user's data, arguments or machine do not allow this; the message says in one line what to do."""


class Stopped(Exception):  # noqa: N818 nothing is wrong
    """SIGTERM asked for the end; the message says in one line what is kept. The exit status is 143, as shells have it.

    SageMaker sends it when a job is stopped or its spot instance is taken back, and kills after 120 seconds
    (https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_StopTrainingJob.html).
    """


class AlreadyTold(Exception):  # noqa: N818 another process has the error
    """Another of torchrun's processes says why all of them end; this one ends with ``status`` and without a word."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
