"""Ask a deployed Kennel for the labels of photos, through its Lambda function's alias.

./kennel predict dog.jpg https://example.com/cat.png --function kennel-dev
./kennel predict data/test/*/*.jpg --function kennel-dev --check --at-least 29

Credentials and region are the ambient ones of boto3; with ``AWS_ENDPOINT_URL`` set it asks the embedded AWS.
Exit status: 0 when every photo got an answer (with ``--check``: when enough are right), 1 when not, 2 when
nothing could be asked.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import sys
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MAX_PHOTO_BYTES = 4_500_000
"""What base64 and JSON leave of the 6 MB that Lambda takes in a synchronous call:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""

MAX_TOP_K = 100


class UsageError(Exception):
    """Something that the person at the keyboard can put right; the message is one line that says how."""


@dataclass(frozen=True)
class Prediction:
    """A class and how likely it is, 0 to 1.

    Attributes
    ----------
    name
        What the class's folder was called when the model was trained; None from a model of Kennel 0.1.
    """

    label: str
    probability: float
    name: str | None = None


@dataclass(frozen=True)
class Result:
    """What came back for one photo: predictions, the most likely first, or a problem.

    Attributes
    ----------
    photo
        File or URL, as given.
    milliseconds
        Time from sending to receiving, as seen here.
    """

    photo: str
    predictions: Sequence[Prediction]
    problem: str | None
    milliseconds: float

    def is_right(self) -> bool:
        """Tell whether the most likely class is that of the photo's folder: by its name, or by its label."""
        if not self.predictions:
            return False
        first = self.predictions[0]
        return _nfc(first.name or "") == folder_of(self.photo) or _nfc(first.label) == expected_label(self.photo)


def is_url(photo: str) -> bool:
    """Tell a URL from a file name."""
    return re.match("https?://", photo, re.IGNORECASE) is not None


def folder_of(photo: str) -> str:
    """Return the name of a photo's folder, in Unicode's NFC: macOS writes letters with accents in another form."""
    return _nfc(Path(photo).resolve().parent.name)


def expected_label(photo: str) -> str:
    """Return the label that the name of a photo's folder stands for, by the rule of training.

    Labels of one model differ, so a photo whose label is right is right whatever its folder is called.

    >>> expected_label("test/020.Belgian_malinois/1.jpg")
    'Belgian malinois'
    >>> expected_label("test/0.50_euro/1.jpg")
    '0.50 euro'
    """
    return re.sub(r"^\d+\.(?=\D)", "", folder_of(photo)).replace("_", " ")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def check_photos(photos: Sequence[str]) -> None:
    """Refuse files that cannot be sent, before any is sent.

    Raises
    ------
    UsageError
        A file is missing, unreadable, too large or not a file.
    """
    for photo in photos:
        if is_url(photo):
            continue
        path = Path(photo)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise UsageError(
                f"{photo}: {error.strerror or error}; give a photo's path, or a URL with http:// or https://"
            ) from None
        if not path.is_file():
            raise UsageError(f"{photo}: not a file; name each photo, or use a pattern such as {photo}/*.jpg")
        if size > MAX_PHOTO_BYTES:
            raise UsageError(
                f"{photo}: {size / 1e6:.1f} MB is larger than the limit of {MAX_PHOTO_BYTES / 1e6:.1f} MB; "
                "send a smaller photo, or its URL"
            )


def lambda_client() -> LambdaClient:
    """Make a client that waits longer than the function may take, and tries once more where that may help."""
    return boto3.client(
        "lambda",
        config=Config(connect_timeout=5, read_timeout=90, retries={"total_max_attempts": 2, "mode": "standard"}),
    )


def predict(client: LambdaClient, function: str, alias: str, photo: str, top_k: int) -> Result:
    """Send one photo to a function's alias and read its answer.

    Raises
    ------
    UsageError
        When the file cannot be read.
    ClientError, BotoCoreError
        When the function cannot be invoked at all.
    """
    event: dict[str, Any] = {"top_k": top_k}
    if is_url(photo):
        event["url"] = photo
    else:
        try:
            event["image"] = base64.b64encode(Path(photo).read_bytes()).decode()
        except OSError as error:
            raise UsageError(f"{photo}: {error.strerror or error}") from None
    start = time.perf_counter()
    try:
        response = client.invoke(FunctionName=function, Qualifier=alias, Payload=json.dumps(event).encode())
        payload = response["Payload"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "TooManyRequestsException":
            raise
        return Result(photo, (), "429: Lambda throttled the request; try again soon", _since(start))
    milliseconds = _since(start)
    if "FunctionError" in response:
        return Result(photo, (), _function_error(payload), milliseconds)
    return _read_answer(photo, payload, milliseconds)


def _since(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def _function_error(payload: bytes) -> str:
    """Say what Lambda reports when the function itself broke: a time-out, an import that failed."""
    try:
        message = json.loads(payload)["errorMessage"]
    except (ValueError, LookupError, TypeError):
        message = "no reason given"
    return f"the function failed; see its log ({_one_line(message)})"


def _read_answer(photo: str, payload: bytes, milliseconds: float) -> Result:
    try:
        answer = json.loads(payload)
        body = json.loads(answer["body"])
        if answer["statusCode"] != 200:
            return Result(photo, (), f"{answer['statusCode']}: {_one_line(body['detail'])}", milliseconds)
        predictions = [
            Prediction(str(row["label"]), float(row["probability"]), str(row["name"]) if "name" in row else None)
            for row in body["predictions"]
        ]
    except (ValueError, LookupError, TypeError):
        return Result(photo, (), "the answer is not that of a Kennel function; check --function", milliseconds)
    return Result(photo, predictions, None if predictions else "the answer has no labels", milliseconds)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def table(results: Sequence[Result], *, check: bool, plain: bool) -> Table:
    """Lay results out: one line for each label, the photo and its time on the first."""
    grid = Table(box=None, pad_edge=False) if plain else Table()
    grid.add_column("file", overflow="fold")
    grid.add_column("label", overflow="fold")
    grid.add_column("probability", justify="right")
    grid.add_column("milliseconds", justify="right")
    if check:
        grid.add_column("check")
    for result in results:
        for cells in _rows(result, check=check):
            grid.add_row(*cells)
    return grid


def _rows(result: Result, *, check: bool) -> Iterator[list[Text]]:
    milliseconds = Text(f"{result.milliseconds:.0f}")
    verdict = []
    if check:
        right = result.is_right()
        verdict = [
            Text("right", "green") if right else Text(f"wrong: {expected_label(result.photo)} expected", "bold red")
        ]
    if result.problem is not None:
        yield [Text(result.photo), Text(result.problem, "bold red"), Text(""), milliseconds, *verdict]
    for rank, prediction in enumerate(result.predictions):
        label, probability = Text(prediction.label), Text(f"{prediction.probability:.3f}")
        if rank == 0:
            yield [Text(result.photo), label, probability, milliseconds, *verdict]
        else:
            yield [Text(""), label, probability]


def main(arguments: Sequence[str] | None = None, client: LambdaClient | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments
        Words after the program's name; by default the process's own.
    client
        A client of Lambda; by default one with the ambient credentials.
    """
    options = _parse(arguments)
    terminal = Console()
    plain = not terminal.is_terminal
    # Off a terminal a line is as long as it needs, so that it can be searched and cut.
    console = Console(width=1000, soft_wrap=True) if plain else terminal
    try:
        results = _ask(options, client, track(options.photos, "Asking", console=console, transient=True, disable=plain))
    except (UsageError, ClientError, BotoCoreError) as error:
        print(f"kennel: {_explain(error, options.function, options.alias)}", file=sys.stderr)  # noqa: T201
        return 2
    console.print(table(results, check=options.check, plain=plain))
    if not options.check:
        return 0 if all(result.problem is None for result in results) else 1
    right = sum(result.is_right() for result in results)
    console.print(f"{right} of {len(results)} right")
    return 0 if right >= options.at_least else 1


def _ask(options: argparse.Namespace, client: LambdaClient | None, photos: Iterable[str]) -> list[Result]:
    """Send the photos, after a look at all of them; ``photos`` are those of the options, with their progress shown."""
    if options.check and any(is_url(photo) for photo in options.photos):
        raise UsageError("--check needs files: a URL has no folder to compare with")
    check_photos(options.photos)
    client = client or lambda_client()
    return [predict(client, options.function, options.alias, photo, options.top_k) for photo in photos]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./kennel predict", description="Send photos to a deployed function, and print their labels."
    )
    parser.add_argument("--version", action="version", version=f"kennel {_version()}")
    parser.add_argument("photos", nargs="+", metavar="PHOTO_OR_URL", help="a JPEG, PNG or WebP file, or a URL")
    parser.add_argument("--function", required=True, help="name of the Lambda function, such as kennel-dev")
    parser.add_argument("--alias", default="live", help="alias or version of the function (default: live)")
    parser.add_argument("--top-k", type=int, default=1, metavar="N", help="labels for each photo (default: 1)")
    parser.add_argument("--check", action="store_true", help="compare each class with the name of its photo's folder")
    parser.add_argument(
        "--at-least", type=int, metavar="N", help="right answers that --check needs to succeed (default: all)"
    )
    options = parser.parse_args(arguments)
    if not 1 <= options.top_k <= MAX_TOP_K:
        parser.error(f"--top-k is {options.top_k}: it must be from 1 to {MAX_TOP_K}")
    if options.at_least is not None and not options.check:
        parser.error("--at-least needs --check")
    if options.at_least is None:
        options.at_least = len(options.photos)
    if not 0 <= options.at_least <= len(options.photos):
        parser.error(
            f"--at-least is {options.at_least}: it must be from 0 to {len(options.photos)}, the number of photos"
        )
    return options


def _version() -> str:
    """Return which Kennel this is; this file also works without the rest of it."""
    file = Path(__file__).with_name("VERSION")
    return file.read_text(encoding="utf-8").strip() if file.is_file() else "(unknown version)"


def _explain(error: Exception, function: str, alias: str) -> str:
    """Say in one line what went wrong and what to do."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return f"no usable AWS credentials ({_one_line(error)}); run `aws configure`, or set AWS_PROFILE"
    if isinstance(error, NoRegionError):
        return "no AWS region; set AWS_REGION"
    if isinstance(error, EndpointConnectionError):
        return f"{_one_line(error)}; check the network, and AWS_ENDPOINT_URL if it is set"
    if isinstance(error, ClientError):
        code = error.response["Error"]["Code"]
        if code == "ResourceNotFoundException":
            return (
                f"there is no function {function} with alias {alias} in this account and region; "
                "deploy it, or check --function"
            )
        if code == "RequestEntityTooLargeException":
            return "a photo is too large for Lambda; send a smaller photo, or its URL"
    return _one_line(error)


if __name__ == "__main__":
    sys.exit(main())
