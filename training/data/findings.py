"""What is wrong or odd with a data set."""

from dataclasses import dataclass

ERROR, WARNING, NOTE = "error", "warning", "note"
"""An error would falsify the result, and ``fit`` refuses it; a warning may explain a poor one."""


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

    def example(self) -> str:
        """Return the first group's names."""
        return " = ".join(self.photos[0]) if self.photos else ""
