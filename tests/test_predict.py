from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
    ReadTimeoutError,
)

import predict
from predict import MAX_PHOTO_BYTES, expected_label, main
from training.data.labels import label


def answer(label: str = "Belgian malinois", probability: float = 0.93, *others: tuple[str, float]) -> dict[str, Any]:
    rows = [{"label": name, "probability": share} for name, share in ((label, probability), *others)]
    body = {"predictions": rows, "artifact_sha256": None, "milliseconds": {"fetch": 0.0, "model": 12.3}}
    return {"statusCode": 200, "headers": {}, "body": json.dumps(body)}


def problem(status: int, detail: str) -> dict[str, Any]:
    body = {"type": "about:blank", "title": "T", "status": status, "detail": detail}
    return {"statusCode": status, "headers": {}, "body": json.dumps(body)}


class Lambda:
    """A Lambda client whose function gives these answers in turn, the last one for ever."""

    def __init__(self, *answers: Any, error: str | None = None) -> None:
        self.answers = list(answers)
        self.error = error
        self.calls: list[dict[str, Any]] = []

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        result = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(result, Exception):
            raise result
        payload = result if isinstance(result, bytes) else json.dumps(result).encode()
        return {
            "StatusCode": 200,
            "Payload": io.BytesIO(payload),
            **({"FunctionError": self.error} if self.error else {}),
        }

    def event(self, number: int = 0) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.calls[number]["Payload"])
        return event


def run(client: Any, *words: str) -> int:
    return main([*words, "--function", "kennel-dev"], client)


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "020.Belgian_malinois" / "a[1].jpg"
    path.parent.mkdir()
    path.write_bytes(b"\xff\xd8\xff photo")
    return str(path)


def test_a_file_is_sent_through_the_alias(photo: str) -> None:
    client = Lambda(answer())
    assert run(client, photo) == 0
    assert (client.calls[0]["FunctionName"], client.calls[0]["Qualifier"]) == ("kennel-dev", "live")
    assert client.event() == {"image": base64.b64encode(b"\xff\xd8\xff photo").decode(), "top_k": 1}


def test_a_url_is_passed_on_unread() -> None:
    client = Lambda(answer())
    assert run(client, "https://a.org/x.jpg", "--alias", "7", "--top-k", "3") == 0
    assert client.calls[0]["Qualifier"] == "7"
    assert client.event() == {"url": "https://a.org/x.jpg", "top_k": 3}


def test_the_table_is_plain_off_a_terminal(photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Lambda(answer()), photo) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["file", "label", "probability", "milliseconds"]
    assert row.startswith(photo)  # brackets and all, on one line
    assert row.split()[-4:-1] == ["Belgian", "malinois", "0.930"]
    assert row.split()[-1].isdigit()
    assert row.isascii()


def test_further_labels_have_their_own_lines(photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Lambda(answer("Collie", 0.6, ("Beagle", 0.3), ("Poodle", 0.1))), photo, "--top-k", "3") == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[-2:] for line in lines[1:]] == [["Beagle", "0.300"], ["Poodle", "0.100"]]
    assert sum(photo in line for line in lines) == 1


def test_a_problem_is_shown_in_its_row_and_the_others_go_on(photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    client = Lambda(problem(415, "The photo is not a JPEG, PNG or WebP."), answer())
    assert run(client, photo, photo) == 1
    output = capsys.readouterr().out
    assert "415: The photo is not a JPEG, PNG or WebP." in output
    assert "Belgian malinois" in output


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (Lambda({"errorMessage": "Task timed out\nafter 30 s"}, error="Unhandled"), "Task timed out after 30 s"),
        (Lambda(b"", error="Unhandled"), "the function failed"),
        (Lambda(b"5", error="Unhandled"), "the function failed"),
        (Lambda(b""), "not that of a Kennel function; check --function"),
        (Lambda(b"null"), "not that of a Kennel function; check --function"),
        (Lambda({"statusCode": 200, "body": "[]"}), "not that of a Kennel function; check --function"),
        (Lambda({"statusCode": 404}), "not that of a Kennel function; check --function"),
        (
            Lambda({"statusCode": 200, "body": '{"predictions": [{"label": "x"}]}'}),
            "not that of a Kennel function; check --function",
        ),
        (Lambda({"statusCode": 200, "body": '{"predictions": []}'}), "no label"),
        (Lambda(ClientError({"Error": {"Code": "TooManyRequestsException"}}, "Invoke")), "429"),
    ],
)
def test_a_function_that_fails_is_a_problem_too(
    photo: str, capsys: pytest.CaptureFixture[str], client: Lambda, text: str
) -> None:
    assert run(client, photo) == 1
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("020.Belgian_malinois", "Belgian malinois"),
        ("001.Affenpinscher", "Affenpinscher"),
        ("7", "7"),
        ("7.", "7."),
        ("0.50_euro", "0.50 euro"),
        ("3.14", "3.14"),
        ("Welsh_springer_spaniel", "Welsh springer spaniel"),
        ("1.2.Three", "1.2.Three"),
        ("e\u0301pagneul", "\u00e9pagneul"),
    ],
)
def test_a_folder_name_stands_for_a_label(folder: str, expected: str) -> None:
    assert expected_label(f"data/test/{folder}/x.jpg") == expected


@pytest.mark.parametrize(
    "name", ["020.Belgian_malinois", "0.50_euro", "7.", "1.2.Three", "a__b", "\u00e9pagneul", "犬"]
)
def test_training_has_the_same_rule(name: str) -> None:
    assert expected_label(f"{name}/x.jpg") == label(name)


@pytest.mark.parametrize(
    ("folder", "row", "status"),
    [
        ("0.50_euro", {"label": "0.50 euro", "name": "0.50_euro"}, 0),
        ("0.50_euro", {"label": "0.50 euro"}, 0),
        ("0.50_euro", {"label": "50 euro", "name": "0.50_euro"}, 0),
        ("0.50_euro", {"label": "50 euro"}, 1),
        ("0.50_euro", {"label": "1.50 euro", "name": "1.50_euro"}, 1),
        ("Belgian_malinois", {"label": "Belgian malinois", "name": "020.Belgian_malinois"}, 0),
        ("e\u0301pagneul", {"label": "\u00e9pagneul", "name": "\u00e9pagneul"}, 0),
        ("\u00e9pagneul", {"label": "e\u0301pagneul", "name": "e\u0301pagneul"}, 0),
    ],
)
def test_check_compares_the_class_by_its_name_and_without_one_by_its_label(
    tmp_path: Path, folder: str, row: dict[str, Any], status: int
) -> None:
    path = tmp_path / folder / "x.jpg"
    path.parent.mkdir()
    path.write_bytes(b"\xff\xd8\xff")
    body = {"predictions": [row | {"probability": 0.9}], "artifact_sha256": None}
    client = Lambda({"statusCode": 200, "headers": {}, "body": json.dumps(body)})
    assert run(client, str(path), "--check") == status


def test_a_photo_in_the_current_folder_is_checked_too(
    photo: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(Path(photo).parent)
    assert run(Lambda(answer()), "a[1].jpg", "--check") == 0
    assert capsys.readouterr().out.endswith("1 of 1 right\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [([], 1), (["--at-least", "2"], 0), (["--at-least", "3"], 1), (["--at-least", "0"], 0)],
)
def test_check_counts_right_labels(
    photo: str, capsys: pytest.CaptureFixture[str], words: list[str], status: int
) -> None:
    client = Lambda(answer(), answer("Collie", 0.5, ("Belgian malinois", 0.4)), answer())
    assert run(client, photo, photo, photo, "--check", *words) == status
    output = capsys.readouterr().out
    assert output.endswith("2 of 3 right\n")
    assert output.count("wrong: Belgian malinois expected") == 1


def test_a_problem_is_not_right(photo: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Lambda(problem(503, "Later.")), photo, "--check") == 1
    assert capsys.readouterr().out.endswith("0 of 1 right\n")


def one_line_error(capsys: pytest.CaptureFixture[str]) -> str:
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("kennel: ")
    assert output.err.count("\n") == 1
    return output.err


@pytest.mark.parametrize("kind", ["missing", "folder", "large"])
def test_a_file_that_cannot_be_sent_stops_before_any_is(
    photo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    bad = tmp_path / "bad.jpg"
    if kind == "folder":
        bad.mkdir()
    elif kind == "large":
        bad.write_bytes(b"\0" * (MAX_PHOTO_BYTES + 1))
    client = Lambda(answer())
    assert run(client, photo, str(bad)) == 2
    assert str(bad) in one_line_error(capsys)
    assert client.calls == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoCredentialsError(), "aws configure"),
        (NoRegionError(), "AWS_REGION"),
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), "AWS_ENDPOINT_URL"),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), "timeout"),
        (ProfileNotFound(profile="none"), "none"),
        (ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "m"}}, "Invoke"), "kennel-dev"),
        (ClientError({"Error": {"Code": "RequestEntityTooLargeException", "Message": "m"}}, "Invoke"), "too large"),
        (ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not\nallowed"}}, "Invoke"), "not allowed"),
    ],
)
def test_what_keeps_the_function_from_being_asked_is_one_line(
    photo: str, capsys: pytest.CaptureFixture[str], error: BotoCoreError | ClientError, text: str
) -> None:
    assert run(Lambda(error), photo) == 2
    assert text in one_line_error(capsys)


def test_a_machine_without_credentials_is_told_so(
    photo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert main([photo, "--function", "kennel-dev"]) == 2
    assert "credentials" in one_line_error(capsys)


def test_check_needs_files(capsys: pytest.CaptureFixture[str]) -> None:
    client = Lambda(answer())
    assert run(client, "https://a.org/Collie/x.jpg", "--check") == 2
    assert "--check" in one_line_error(capsys)
    assert client.calls == []


@pytest.mark.parametrize(
    "words",
    [
        *(["x.jpg", "--top-k", number] for number in ("0", "101", "x")),
        ["x.jpg", "--at-least", "1"],
        ["x.jpg", "--check", "--at-least", "2"],
        ["x.jpg", "--check", "--at-least", "-1"],
        [],
    ],
)
def test_wrong_arguments_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run(Lambda(answer()), *words)
    assert caught.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_client_waits_longer_than_the_function_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert predict.lambda_client().meta.config.read_timeout >= 60  # type: ignore[attr-defined]
