"""The line in front of the workers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from training.serving.photo_file import MAX_MEMORY
from training.serving.serving_errors import RequestError
from training.serving.waiting import DECODING_BYTES, WAITING_BYTES, Line, Turn


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def within_a_loop() -> None:
        await scenario()

    asyncio.run(within_a_loop())


def came(turns: list[Turn]) -> list[bool]:
    return [turn.comes.is_set() for turn in turns]


def test_turns_come_in_order_and_a_photo_that_leaves_is_skipped() -> None:
    async def scenario() -> None:
        line = Line(workers=1, most=10)
        turns = [line.join(1) for _ in range(4)]
        assert came(turns) == [True, False, False, False]
        line.leave(turns[1])
        assert came(turns) == [True, False, False, False]
        line.leave(turns[0])
        assert came(turns) == [True, False, True, False]

    run(scenario)


def test_a_full_line_is_503() -> None:
    async def scenario() -> None:
        line = Line(workers=2, most=3)
        turns = [line.join(1) for _ in range(5)]
        for refuse in (line.check, lambda: line.join(1)):
            with pytest.raises(RequestError, match="3 photos are waiting") as caught:
                refuse()
            assert caught.value.status == 503
        line.leave(turns[4])
        line.join(1)

    run(scenario)


def test_photos_that_are_worked_on_share_the_memory() -> None:
    async def scenario() -> None:
        line = Line(workers=16, most=16)
        turns = [line.join(MAX_MEMORY) for _ in range(4)]
        small = line.join(1)
        assert came([*turns, small]) == [True, True, False, False, False]  # in order: a large photo waits no longer
        line.leave(turns[1])
        assert came([*turns, small]) == [True, True, True, False, False]
        line.leave(turns[0])
        assert came([*turns, small]) == [True, True, True, True, True]

    run(scenario)
    assert DECODING_BYTES + WAITING_BYTES < 900 * 2**20


def test_bodies_share_the_memory_too() -> None:
    async def scenario() -> None:
        line = Line(workers=1, most=1)
        with line.hold() as first, line.hold() as second:
            first.set(WAITING_BYTES)
            with pytest.raises(RequestError, match="128 MiB") as caught:
                second.set(1)
            assert caught.value.status == 503
            first.set(WAITING_BYTES - 1)
            second.set(1)
        assert line.bytes == 0

    run(scenario)


def test_it_is_stuck_when_every_worker_takes_longer_than_a_request_may(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)

    async def scenario() -> None:
        nonlocal now
        line = Line(workers=2, most=3)
        turns = [line.join(1)]
        now += 61
        assert not line.is_stuck()  # a worker is free
        turns.append(line.join(1))
        assert not line.is_stuck()
        now += 61
        assert line.is_stuck()
        line.leave(turns[0])
        assert not line.is_stuck()

    run(scenario)
