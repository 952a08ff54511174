"""What the commands print, and the question that they ask."""

from rich.console import Console

from operate.errors import OperateError

_CONSOLE = Console(markup=False, highlight=False, soft_wrap=True, emoji=False)


def say(line: str) -> None:
    """Print a line at once, before the output of a program that runs next."""
    _CONSOLE.print(line)


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question and return if the answer is yes.

    Parameters
    ----------
    question
        What happens after a yes.
    yes
        Whether the caller gave the answer on the command line.

    Raises
    ------
    OperateError
        The answer is another, or nobody can answer.
    """
    if yes:
        return
    try:
        answer = input(f"{question} (yes/no) ")
    except EOFError:
        raise OperateError("no answer was given, so nothing was done; confirm with --yes (make: YES=yes)") from None
    if answer.strip().lower() not in ("y", "yes"):
        raise OperateError("the answer was not yes, so nothing was done")
