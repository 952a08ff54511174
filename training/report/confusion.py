"""The confusion matrix as a heat map."""

from collections.abc import Sequence

from torch import Tensor

from training.report.charts import Drawing

SIDE = 720
"""Pixels of the matrix, at most."""

LARGEST_CELL, NAMED_CELL, COUNTED_CELL = 44, 17, 26
"""Pixels: of a cell at most, and those from which on rows and columns have names, and cells their counts."""

NAME = 22
"""Letters of a name beside the matrix; the whole name is in the title of each cell."""

UPRIGHT = 3
"""Letters that fit above a column."""

MOST = 10_000
"""Wrong cells that are drawn, those with the most photos first: the page stays below a few megabytes."""


def heat_map(confusion: Tensor, labels: Sequence[str]) -> str:
    """Draw the matrix; what is right and what is wrong has a colour each.

    Parameters
    ----------
    confusion
        Counts of shape [classes, classes]: true class, predicted class.
    labels
        Of the classes, in the order of the model's output.
    """
    matrix = _Matrix(confusion, labels)
    matrix.draw_field()
    for number in range(len(labels)):
        if matrix.names:
            matrix.draw_name(number)
        elif (number + 1) % 10 == 0:
            matrix.draw_number(number)
    for row, column in _cells(confusion):
        matrix.draw_cell(row, column)
    return str(matrix.drawing)


class _Matrix:
    """The drawing of a confusion matrix; parameters as in ``heat_map``.

    Attributes
    ----------
    cell, margin
        Pixels of a cell's side, and of what is left of and above the matrix.
    names
        Of rows and columns; none where the cells are too small for them.
    """

    def __init__(self, confusion: Tensor, labels: Sequence[str]) -> None:
        self.confusion, self.labels = confusion, labels
        self.shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
        self.cell = min(LARGEST_CELL, SIDE / len(labels))
        self.names = [_short(label) for label in labels] if self.cell >= NAMED_CELL else []
        self.longest = max(map(len, self.names), default=0)
        self.margin = 26 + (12 + 6.4 * self.longest if self.names else 22)
        width = self.margin + self.side + 10
        self.drawing = Drawing(max(width, 200), width, "Confusion matrix")

    @property
    def side(self) -> float:
        return self.cell * len(self.labels)

    def draw_field(self) -> None:
        middle = self.margin + self.side / 2
        self.drawing.add("rect", x=self.margin, y=self.margin, width=self.side, height=self.side, class_="field")
        self.drawing.text(middle, 14, "predicted", "middle strong")
        self.drawing.text(14, middle, "true", "middle strong", transform=_turned(14, middle))

    def draw_name(self, number: int) -> None:
        """Name a row and its column."""
        at, edge, name = self.margin + self.cell * (number + 0.5), self.margin - 6, self.names[number]
        self.drawing.text(edge, at + 4, name, "end")
        if self.longest > UPRIGHT:
            self.drawing.text(at + 4, edge, name, transform=_turned(at + 4, edge))
        else:
            self.drawing.text(at, edge, name, "middle")

    def draw_number(self, number: int) -> None:
        """Draw a line through a row and its column, with their number."""
        at, edge, end = self.margin + self.cell * (number + 0.5), self.margin - 6, self.margin + self.side
        self.drawing.text(edge, at + 4, str(number + 1), "end")
        self.drawing.text(at, edge, str(number + 1), "middle")
        self.drawing.line(self.margin, at, end, at, "grid")
        self.drawing.line(at, self.margin, at, end, "grid")

    def draw_cell(self, row: int, column: int) -> None:
        count, share = int(self.confusion[row, column]), float(self.shares[row, column])
        if row == column:
            title, class_ = f"{self.labels[row]} recognised: {count} of {int(self.confusion[row].sum())}", "right"
            faintest = 0.15
        else:
            title, class_ = f"{self.labels[row]} taken for {self.labels[column]}: {count}", "wrong"
            faintest = 0.35 if self.names else 0.6  # a mistake of few pixels must be seen
        opacity = faintest + (1 - faintest) * share
        x, y = self.margin + self.cell * column, self.margin + self.cell * row
        self.drawing.add(
            "rect", title=title, x=x, y=y, width=self.cell, height=self.cell, fill_opacity=opacity, class_=class_
        )
        if self.cell >= COUNTED_CELL:
            self.drawing.text(x + self.cell / 2, y + self.cell / 2 + 4, str(count), "middle count-text")


def _cells(confusion: Tensor) -> list[tuple[int, int]]:
    size = len(confusion)
    right = [(i, i) for i in range(size) if confusion[i, i]]
    counts, cells = (confusion - confusion.diagonal().diag()).flatten().sort(descending=True, stable=True)
    drawn = cells[: min(MOST, int((counts > 0).sum()))]
    return right + [(cell // size, cell % size) for cell in drawn.tolist()]


def _short(label: str) -> str:
    return label if len(label) <= NAME else label[: NAME // 2] + "…" + label[1 - NAME // 2 :]


def _turned(x: float, y: float) -> str:
    return f"rotate(-90 {x:.2f} {y:.2f})"
