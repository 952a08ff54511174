"""What is wrong or odd with a data set."""

from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"
"""An error would falsify the result, and ``fit`` refuses it; a warning may explain a poor one."""

SHOWN = 3
"""Examples of each finding, and names of each example; the report has all."""


@dataclass(frozen=True)
class Finding:
    """One kind of thing found.

    Parameters
    ----------
    kind
        A few words that stay the same, for programs.
    text
        What it means and what to do, in one line.
    photos
        Names of all photos that it concerns, in groups that belong together (copies of each other, say).
    """

    severity: str
    kind: str
    text: str
    photos: tuple[tuple[str, ...], ...] = ()

    @property
    def count(self) -> int:
        """Return how many photos, or groups of them, it concerns."""
        return max(1, len(self.photos))

    @property
    def headline(self) -> str:
        """Return what was found, and how often."""
        return f"{self.count} x {self.kind}" if self.photos else self.kind

    def examples(self) -> list[str]:
        """Return the first groups, each with its first names."""
        return [
            " = ".join(group[:SHOWN]) + (f" and {len(group) - SHOWN} more" if len(group) > SHOWN else "")
            for group in self.photos[:SHOWN]
        ]
