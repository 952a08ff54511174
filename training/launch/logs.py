"""CloudWatch's logs of a run, as they come."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from training.common.aws import Aws
from training.common.aws_errors import code_of

BEGIN = "kennel: the training begins"
"""The line after which a job's log is Kennel's own."""

KEPT_LINES = 15
TOOLKITS_OWN = re.compile(r"[\d-]+ [\d:,]+ sagemaker-training-toolkit ")
"""What AWS's training toolkit says of itself."""


@dataclass
class LogTail:
    """Reads on where it stopped, in every stream whose name begins with the prefix.

    Of each stream only what follows the line ``BEGIN`` is told; the latest of what came before is kept, for a run that
    never gets there: the toolkit prints its whole environment, and pip everything it installs.

    Parameters
    ----------
    group, prefix
        SageMaker's streams are ``JOB/algo-N-TIME``.
    """

    aws: Aws
    group: str
    prefix: str
    before: list[str] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)

    def lines(self) -> Iterator[str]:
        """Return what is new, of the first host first.

        Raises
        ------
        ClientError
            The log cannot be read.
        """
        for stream in self._streams():
            yield from self._read(stream)

    def _streams(self) -> list[str]:
        try:
            pages = self.aws.logs.get_paginator("describe_log_streams").paginate(
                logGroupName=self.group, logStreamNamePrefix=self.prefix
            )
            return sorted(stream["logStreamName"] for page in pages for stream in page["logStreams"])
        except ClientError as error:
            if code_of(error) == "ResourceNotFoundException":  # the account's first job has not printed yet
                return []
            raise

    def _read(self, stream: str) -> Iterator[str]:
        while True:
            position = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            answer = self.aws.logs.get_log_events(
                logGroupName=self.group,
                logStreamName=stream,
                startFromHead=True,
                **position,  # type: ignore[arg-type]
            )
            for event in answer["events"]:
                yield from self._sift(stream, event["message"].rstrip("\n"))
            token = answer["nextForwardToken"]
            if token == self._tokens.get(stream) or not answer["events"]:
                self._tokens[stream] = token
                return
            self._tokens[stream] = token

    def _sift(self, stream: str, line: str) -> Iterator[str]:
        if stream in self.begun:
            if not TOOLKITS_OWN.match(line):
                yield line
        elif line == BEGIN:
            self.begun.add(stream)
        else:
            self.before = [*self.before, line][-KEPT_LINES:]
