"""A run on AWS, whatever it runs on, as the one who follows it sees it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class RunStatus:
    """What a run is doing, or how it ended.

    Parameters
    ----------
    state
        ``running``, ``completed``, ``failed``, ``stopped``; ``interrupted``: its spot instance was taken away.
    detail
        More of it, for people.
    reason
        Why it failed, in one line.
    """

    state: str
    detail: str
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.state != "running"


class Run(Protocol):
    """What can be followed, stopped, and asked for its model."""

    @property
    def name(self) -> str:
        """Its name on AWS."""

    @property
    def kind(self) -> str:
        """``training``, ``tuning`` or ``instance``."""

    @property
    def log_group(self) -> str:
        """Where it prints."""

    def status(self) -> RunStatus:
        """Ask how it is."""

    def stop(self) -> bool:
        """Ask it to end; return whether there was anything to end."""

    def restart(self) -> bool:
        """Start an interrupted run anew, from its checkpoints; return whether that can be done."""

    def next_run(self) -> "Run | None":
        """Return the run that a completed one leads to, started if need be; None: its model is there."""
