"""Work in threads."""

import threading
import time

import pytest

from training.common import console  # noqa: F401 its import takes time
from training.common.threads import in_threads


def test_results_come_in_the_order_of_the_items() -> None:
    second = threading.Event()

    def work(item: int) -> int:
        if item == 1:
            second.set()
        else:
            second.wait()
        return 10 * item

    assert in_threads(work, [0, 1], threads=2) == [0, 10]


@pytest.mark.parametrize("title", ["", "Working"])
def test_an_error_leaves_what_has_not_begun(title: str) -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError(item)
        time.sleep(0.02)

    with pytest.raises(ValueError, match="0"):
        in_threads(work, range(200), title, threads=1)
    assert len(begun) < 200
