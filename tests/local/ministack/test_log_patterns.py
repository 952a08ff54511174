"""Which log events a filter pattern finds. Cases: CloudWatch Logs guide, "Filter pattern syntax"."""

import json

import pytest

from local.ministack.log_patterns import matcher

CRASH = '?Traceback ?"Task timed out" ?"Runtime exited"'
BAD = json.dumps({"status": "502", "error": {"kind": "ours"}})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "anything"),
        ("ERROR ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS"),
        ('"INTERNAL SERVER ERROR"', "[ERROR 500] INTERNAL SERVER ERROR"),
        ("ERROR -ARGUMENTS", "[ERROR 400] BAD REQUEST"),
        (CRASH, "Traceback (most recent call last):"),
        (CRASH, "2026 Task timed out after 29.00 seconds"),
        ("{ $.status = 5* }", BAD),
        ('{$.status="502"}', BAD),
        ("{ $.error.kind = ours }", BAD),
        ("{ $.status = 502 }", '{"status": 502}'),
    ],
)
def test_a_pattern_finds(pattern: str, message: str) -> None:
    assert matcher(pattern)(message)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("ERROR", "error: case matters"),
        ("ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST"),
        ("ERROR -ARGUMENTS", "[ERROR 419] MISSING ARGUMENTS"),
        ('"Task timed out"', "Task was timed out"),
        (CRASH, "RequestId: 1 Duration: 29 ms"),
        ("?ERROR ARGUMENTS", "[ERROR 400] BAD REQUEST"),  # beside other terms, the question mark is ignored
        ("{ $.status = 4* }", BAD),
        ("{ $.status = 50 }", BAD),
        ("{ $.state = 5* }", BAD),
        ("{ $.status = 5* }", "status 502"),
        ("{ $.status.code = 5* }", BAD),
    ],
)
def test_a_pattern_does_not_find(pattern: str, message: str) -> None:
    assert not matcher(pattern)(message)


@pytest.mark.parametrize(
    "pattern", ['"open', "task/timed", "%5..%", "{ $.status > 4 }", "{ status = 5* }", "{ $.a = 1 && $.b = 2 }"]
)
def test_an_invalid_or_unknown_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="Invalid filter pattern"):
        matcher(pattern)
