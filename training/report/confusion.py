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
    """Draw counts of shape [true class, predicted class]; what is right and what is wrong has a colour each."""
    size = len(labels)
    cell = min(LARGEST_CELL, SIDE / size)
    named = cell >= NAMED_CELL
    names = [_short(label) for label in labels] if named else []
    turned = max(map(len, names), default=0) > UPRIGHT
    margin = 26 + (12 + 6.4 * max(len(each) for each in names) if named else 22)
    width = margin + cell * size + 10
    drawing = Drawing(max(width, 200), width, "Confusion matrix")
    drawing.add("rect", x=margin, y=margin, width=cell * size, height=cell * size, class_="field")
    drawing.text(margin + cell * size / 2, 14, "predicted", "middle strong")
    drawing.text(14, margin + cell * size / 2, "true", "middle strong", transform=_turned(14, margin + cell * size / 2))
    for number in range(size):
        at = margin + cell * (number + 0.5)
        if named:
            drawing.text(margin - 6, at + 4, names[number], "end")
            if turned:
                drawing.text(at + 4, margin - 6, names[number], transform=_turned(at + 4, margin - 6))
            else:
                drawing.text(at, margin - 6, names[number], "middle")
        elif (number + 1) % 10 == 0:
            drawing.text(margin - 6, at + 4, str(number + 1), "end")
            drawing.text(at, margin - 6, str(number + 1), "middle")
            drawing.line(margin, at, margin + cell * size, at, "grid")
            drawing.line(at, margin, at, margin + cell * size, "grid")
    faintest = 0.35 if named else 0.6  # a mistake of few pixels must be seen
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)
    for row, column in _cells(confusion):
        count, share = int(confusion[row, column]), float(shares[row, column])
        least = 0.15 if row == column else faintest
        opacity = least + (1 - least) * share
        x, y = margin + cell * column, margin + cell * row
        drawing.add(
            "rect",
            title=f"{labels[row]} taken for {labels[column]}: {count}"
            if row != column
            else f"{labels[row]} recognised: {count} of {int(confusion[row].sum())}",
            x=x,
            y=y,
            width=cell,
            height=cell,
            fill_opacity=opacity,
            class_="right" if row == column else "wrong",
        )
        if cell >= COUNTED_CELL:
            drawing.text(x + cell / 2, y + cell / 2 + 4, str(count), "middle count-text")
    return str(drawing)


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
