"""The inclusion is held to a brute force over every short string, with another matcher (regular expressions)."""

import itertools
import random
import re

import pytest

from tests.stacks.iam.glob_language import SEPARATOR, Word, parse, shortest_outside

LETTERS = "ab"
LONGEST = 6


def matches(patterns: list[str], text: str) -> bool:
    return any(
        re.fullmatch("".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(c, re.escape(c)) for c in pattern), text)
        for pattern in patterns
    )


# A letter that no pattern names stands for all that no pattern names.
STRINGS = [
    "".join(letters) for length in range(LONGEST + 1) for letters in itertools.product(LETTERS + "x", repeat=length)
]


def outside(left: list[str], right: list[str]) -> str | None:
    word = shortest_outside(map(parse, left), map(parse, right))
    return None if word is None else "".join(word)


def random_patterns(source: random.Random) -> list[str]:
    return [
        "".join(source.choices(LETTERS + "*?", weights=[4, 4, 2, 1], k=source.randint(0, 4)))
        for _ in range(source.randint(1, 3))
    ]


@pytest.mark.parametrize("seed", range(400))
def test_inclusion_agrees_with_every_short_string(seed: int) -> None:
    source = random.Random(seed)
    left, right = random_patterns(source), random_patterns(source)
    if seed % 2:  # independent patterns are seldom included: make half of the pairs near misses
        right = [*left, *right]
        spot = source.randrange(len(right))
        right[spot] = right[spot].replace("*", source.choice(["?", "*a", "**"]), 1) or "*"
    expected = next((text for text in STRINGS if matches(left, text) and not matches(right, text)), None)
    found = outside(left, right)
    if found is None:
        assert expected is None, f"{left} without {right}: {expected!r}"
    else:
        assert matches(left, found), f"{found!r} is not of {left}"
        assert not matches(right, found), f"{found!r} is of {right}"
        assert expected is None or len(found) == len(expected), f"{found!r} is longer than {expected!r}"


@pytest.mark.parametrize(
    ("left", "right", "counterexample"),
    [
        (["a*"], ["*"], None),
        (["*"], ["a*"], ""),
        (["?*"], ["*?"], None),
        (["*a*b*"], ["*a*", "*b*"], None),
        (["*"], ["", "?", "??*"], None),
        (["s3:Get*"], ["s3:GetObject"], "s3:Get"),
        (["s3:GetObject?"], ["s3:GetObject"], "s3:GetObjectx"),
        (["${AWS::Region}"], ["*"], None),
        (["${AWS::Region}"], ["?", "?" * len("${AWS::Region}")], "${AWS::Region}"),
        (["?"], ["x", "z"], "y"),
        (["eu-west-1"], ["${AWS::Region}"], "eu-west-1"),
        (["a.c"], ["abc"], "a.c"),
    ],
)
def test_inclusion_of_known_pairs(left: list[str], right: list[str], counterexample: str | None) -> None:
    assert outside(left, right) == counterexample


def test_a_wildcard_never_reaches_over_a_separator() -> None:
    def pair(action: str, resource: str) -> Word:
        return (*parse(action), SEPARATOR, *parse(resource))

    crossed = [pair("Get", "a*"), pair("Put", "*")]
    assert shortest_outside([pair("*t", "a")], [pair("*", "a")]) is None
    assert shortest_outside([pair("Get", "a")], [parse("*")]) == pair("Get", "a")
    assert shortest_outside([pair("Get", "b")], crossed) == pair("Get", "b")
    assert shortest_outside([pair("*", "a")], crossed) == (SEPARATOR, "a")
    assert shortest_outside([pair("Put", "*"), pair("Get", "a?")], crossed) is None


def test_actions_are_compared_without_their_case_and_resources_with_it() -> None:
    assert shortest_outside([parse("S3:getOBJECT", fold=True)], [parse("s3:GetObject", fold=True)]) is None
    assert outside(["Key"], ["key"]) == "Key"
