"""What the user sees while training runs."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training.common.errors import one_line

T = TypeVar("T")

console = Console(highlight=False, soft_wrap=True)


def say(title: str, text: str) -> None:
    """Print one line: what it is about, and what there is to know."""
    console.print(f"{title:<10}  {one_line(text)}", markup=False)


def warn(text: str) -> None:
    """Print a warning, if there is one."""
    if text:
        say("Warning", text)


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Go through items with a progress bar, which a terminal alone shows, and which leaves nothing behind.

    Parameters
    ----------
    title
        Of the bar.
    total
        How many items there are.
    """
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(items, total=total, description=title)
