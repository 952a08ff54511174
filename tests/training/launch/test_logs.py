"""What is shown of a run's log."""

from typing import Any

from tests.training.launch.fakes import aws_with, error
from training.launch.logs import BEGIN, LogTail


class Logs:
    """CloudWatch's, page by page, with lines that come later."""

    def __init__(self, **streams: list[str]) -> None:
        self.streams = {name.replace("_", "/"): lines for name, lines in streams.items()}

    def get_paginator(self, _: str) -> Any:
        streams = self.streams

        class Paginator:
            def paginate(self, *, logGroupName: str, logStreamNamePrefix: str) -> list[dict[str, Any]]:  # noqa: N803
                if not streams:
                    raise error("ResourceNotFoundException")
                found = [name for name in streams if name.startswith(logStreamNamePrefix)]
                return [{"logStreams": [{"logStreamName": name} for name in found]}]

        return Paginator()

    def get_log_events(self, *, logStreamName: str, nextToken: str = "0", **_: Any) -> dict[str, Any]:  # noqa: N803
        start = int(nextToken)
        lines = self.streams[logStreamName][start : start + 2]
        return {"events": [{"message": line} for line in lines], "nextForwardToken": str(start + len(lines))}


def tail(logs: Logs) -> LogTail:
    return LogTail(aws_with(logs=logs), "/aws/sagemaker/TrainingJobs", "job/")


def test_what_comes_before_the_training_is_kept_back() -> None:
    made = tail(Logs(job_1=["pip", "environment", BEGIN, "Photos", "epoch=1"]))
    assert list(made.lines()) == ["Photos", "epoch=1"]
    assert made.before == ["pip", "environment"]


def test_each_line_is_told_once_as_it_comes() -> None:
    logs = Logs(job_1=[BEGIN, "epoch=1"])
    made = tail(logs)
    assert list(made.lines()) == ["epoch=1"]
    assert list(made.lines()) == []
    logs.streams["job/1"] += ["epoch=2", "epoch=3", "epoch=4"]
    assert list(made.lines()) == ["epoch=2", "epoch=3", "epoch=4"]


def test_other_jobs_and_the_toolkit_are_left_out() -> None:
    said = "2026-11-21 13:21:50,268 sagemaker-training-toolkit INFO     Reporting training SUCCESS"
    made = tail(Logs(job_1=[BEGIN, "mine", said], job2_1=[BEGIN, "not mine"]))
    assert list(made.lines()) == ["mine"]


def test_a_log_that_is_not_there_yet_is_empty() -> None:
    assert list(tail(Logs()).lines()) == []
