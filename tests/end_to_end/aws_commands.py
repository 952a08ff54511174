"""The commands of the AWS CLI that the documents print, and what the embedded AWS does not answer of them."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.embedded import ROOT
from tests.test_printed_commands import PAGES

CLI = Path(sys.executable).with_name("aws")

RUNBOOK = ROOT / "docs" / "runbook.md"

NAMED = ("aws s3 sync", "aws s3control put-public-access-block")
"""Commands that a sentence names without arguments; they are not meant to be run like that."""

UNKNOWN_ACTION = r"\(InvalidAction\)"
NO_SERVICE = r"An error occurred \(400\)"

UNANSWERED = {
    "aws service-quotas list-service-quotas": NO_SERVICE,  # the embedded AWS has no quotas
    "aws accessanalyzer ": NO_SERVICE,  # the rest is about defaults of an account, which Kennel does not rely on
    "aws ec2 get-ebs-encryption-by-default": UNKNOWN_ACTION,
    "aws ec2 enable-ebs-encryption-by-default": UNKNOWN_ACTION,
    "aws ec2 get-instance-metadata-defaults": UNKNOWN_ACTION,
    "aws ec2 modify-instance-metadata-defaults": UNKNOWN_ACTION,
    "aws ec2 get-snapshot-block-public-access-state": UNKNOWN_ACTION,
    "aws ec2 enable-snapshot-block-public-access": UNKNOWN_ACTION,
    # The CLI puts the account before the endpoint's host, which is an address here.
    "aws s3control ": r"Could not connect to the endpoint URL: .https://\d+\.127\.0\.0\.1",
}
"""How commands begin that the embedded AWS does not answer, and how each fails: it has passed the CLI's parser."""


def printed() -> dict[str, str]:
    """Return each command once, in the order of the documents and the runbook first, with the page that prints it."""
    found: dict[str, str] = {}
    for page in sorted(PAGES, key=lambda page: (page != RUNBOOK, page)):
        for command in _commands(page.read_text(encoding="utf-8")):
            found.setdefault(command, page.relative_to(ROOT).as_posix())
    return found


def _commands(page: str) -> Iterator[str]:
    fence = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`(aws\s[^`]+)`", fence.sub("", page))
    lines = [line for block in fence.findall(page) for line in re.findall(r"^aws\s.+$", block, re.MULTILINE)]
    lines += re.findall(r"^    aws\s.+$", page, re.MULTILINE)
    for command in (" ".join(text.split()) for text in [*spans, *lines]):
        if command not in NAMED:
            yield command


def unanswered(command: str) -> str | None:
    """Return how a command fails on the embedded AWS, None if it must succeed."""
    return next((error for start, error in UNANSWERED.items() if command.startswith(start)), None)


def filled(command: str, values: Mapping[str, str]) -> str:
    """Return a command with the values of what a reader replaces, one after the other."""
    for word, value in values.items():
        command = re.sub(rf"(?<![\w$]){re.escape(word)}(?!\w)", value, command)
    return command


def script(command: str, name: str) -> list[str]:
    """Return what runs a command in a shell that has the runbook's variables.

    Version 1 of the CLI overrides AWS_ENDPOINT_URL for SQS (its `overridesslcommonname.py`), but not the option.
    """
    (since,) = re.findall(r"^SINCE=\$\(\(.*\)\)\d+", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    aws = f'aws() {{ {CLI} --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }}'
    return ["sh", "-c", f"{aws}; NAME={name}; {since}; {command}"]
