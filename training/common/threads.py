"""Many items worked on at once."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T], R], items: Collection[T], title: str = "", threads: int | None = None) -> list[R]:
    """Call a function for each item; the first error ends it, and what has not begun is left.

    Parameters
    ----------
    title
        Of a progress bar; there is none without.
    threads
        How many items at once; if None, as many as ``ThreadPoolExecutor`` chooses.

    Returns
    -------
    The results, in the order of the items.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            results = pool.map(work, items)
            if not title:
                return list(results)
            from training.common.console import track  # rich, which an EC2 instance lacks at first

            return list(track(results, title, len(items)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
