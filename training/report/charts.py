"""Charts as SVG: curves over the epochs, how honest the probabilities are, and the drawing that they share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from training.metrics.calibration import BINS, Calibration

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 38
"""Pixels around what a chart shows."""

MARKED = 40
"""Up to so many epochs, each has a mark that says its numbers."""

SIDE, BARS = 260, 70
"""Pixels: the square of a reliability diagram, and the height of the histogram below it."""


class Drawing:
    """An SVG image inside a page; the page's style sheet colours its classes."""

    def __init__(self, width: float, height: float, description: str) -> None:
        across, down = _number(width), _number(height)
        size = {"viewBox": f"0 0 {across} {down}", "width": across, "height": down}
        self.root = Element("svg", size | {"role": "img", "aria-label": description})

    def add(self, tag: str, text: str = "", title: str = "", **attributes: float | str) -> Element:
        """Append an element.

        Parameters
        ----------
        text, title
            What it says, and what it says when pointed at.
        attributes
            Written with ``-`` for ``_``; ``class_`` is ``class``.
        """
        written = {name.rstrip("_").replace("_", "-"): _number(value) for name, value in attributes.items()}
        element = SubElement(self.root, tag, written)
        if text:
            element.text = text
        if title:
            SubElement(element, "title").text = title
        return element

    def line(self, x1: float, y1: float, x2: float, y2: float, class_: str) -> None:
        """Append a straight line."""
        self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)

    def text(self, x: float, y: float, text: str, class_: str = "", **attributes: float | str) -> None:
        """Append a text; ``class_`` is ``end`` or ``middle`` where it does not begin at ``x``."""
        self.add("text", text, "", x=x, y=y, class_=class_, **attributes)

    def __str__(self) -> str:
        return tostring(self.root, encoding="unicode")


def loss_curves(history: Sequence[Mapping[str, Any]], best: int) -> str:
    """Draw the losses by epoch.

    Parameters
    ----------
    history
        Of the manifest: for each epoch its ``number``, ``train_loss`` and ``validation``.
    best
        Number of the epoch that was kept.
    """
    training = [epoch["train_loss"] for epoch in history]
    validation = [epoch["validation"]["loss"] for epoch in history]
    return _curves("Loss", history, best, {"training": training, "validation": validation}, low=0.0)


def accuracy_curve(history: Sequence[Mapping[str, Any]], best: int) -> str:
    """Draw the validation accuracy by epoch; the parameters are those of ``loss_curves``."""
    accuracy = [epoch["validation"]["accuracy"] for epoch in history]
    return _curves("Accuracy", history, best, {"validation": accuracy}, high=1.0)


def _curves(
    title: str,
    history: Sequence[Mapping[str, Any]],
    best: int,
    lines: Mapping[str, Sequence[float]],
    low: float | None = None,
    high: float | None = None,
) -> str:
    epochs = [epoch["number"] for epoch in history]
    values = [value for line in lines.values() for value in line]
    bottom, top = min(values) if low is None else low, max(values) if high is None else high
    chart = _Curves(title, epochs, ticks(bottom, top))
    chart.draw_axes()
    chart.draw_best(best)
    chart.draw_legend(list(lines))
    for name, line in lines.items():
        chart.draw_line(name, line)
    return str(chart.drawing)


class _Curves:
    """A chart of values by epoch.

    Parameters
    ----------
    epochs
        Their numbers, in order.
    y_ticks
        Values at which the chart has a line; it ends at the first and the last.
    """

    def __init__(self, title: str, epochs: Sequence[int], y_ticks: Sequence[float]) -> None:
        self.title, self.epochs, self.y_ticks = title, epochs, y_ticks
        self.first = epochs[0]
        self.last = max(epochs[-1], self.first + 1)
        self.drawing = Drawing(WIDTH, HEIGHT, f"{title} by epoch")

    def x(self, epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - self.first) / (self.last - self.first)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    def draw_axes(self) -> None:
        for tick in self.y_ticks:
            self.drawing.line(LEFT, self.y(tick), WIDTH - RIGHT, self.y(tick), "grid")
            self.drawing.text(LEFT - 6, self.y(tick) + 4, f"{tick:.6g}", "end")
        whole = {round(tick) for tick in ticks(self.first, self.last) if self.first <= tick <= self.last}
        for epoch in sorted(whole | {self.first}):
            self.drawing.text(self.x(epoch), HEIGHT - BOTTOM + 16, str(epoch), "middle")
        self.drawing.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "epoch", "middle")

    def draw_best(self, epoch: int) -> None:
        if self.first <= epoch <= self.last:
            self.drawing.line(self.x(epoch), TOP, self.x(epoch), HEIGHT - BOTTOM, "best")

    def draw_legend(self, names: Sequence[str]) -> None:
        self.drawing.text(LEFT, 16, self.title, "strong")
        right: float = WIDTH - RIGHT
        for name in reversed(names):
            self.drawing.text(right, 16, name, f"end key-{name}")
            right -= 6.4 * len(name) + 28
            self.drawing.line(right, 12, right + 24, 12, f"curve line-{name}")
            right -= 16

    def draw_line(self, name: str, values: Sequence[float]) -> None:
        points = list(zip(self.epochs, values, strict=True))
        places = " ".join(f"{self.x(epoch):.1f},{self.y(value):.1f}" for epoch, value in points)
        self.drawing.add("polyline", points=places, class_=f"curve line-{name}")
        for epoch, value in points if len(points) <= MARKED else ():
            text = f"epoch {epoch}: {name} {self.title.lower()} {value:.4f}"
            self.drawing.add("circle", title=text, cx=self.x(epoch), cy=self.y(value), r=3, class_=f"mark-{name}")


def reliability(calibration: Calibration, title: str) -> str:
    """Draw how often answers of each confidence are right, and how many there are of it.

    Parameters
    ----------
    calibration
        Its bins become bars.
    title
        Of the diagram.
    """
    left, top = 46, 44
    below = top + SIDE + 30
    drawing = Drawing(left + SIDE + 14, below + BARS + 38, f"Reliability diagram, {title}")
    drawing.text(left, 16, title, "strong")
    drawing.text(left, 33, f"expected calibration error {calibration.error:.4f}")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y, x = top + SIDE * (1 - tick), left + SIDE * tick
        drawing.line(left, y, left + SIDE, y, "grid")
        drawing.text(left - 6, y + 4, f"{tick:g}", "end")
        drawing.text(x, below + BARS + 16, f"{tick:g}", "middle")
    drawing.text(left + SIDE / 2, below + BARS + 32, "probability of the answer", "middle")
    drawing.text(left, below - 8, "photos")
    width, most = SIDE / BINS, max(1, *(bin_.photos for bin_ in calibration.bins))
    for number, bin_ in enumerate(calibration.bins):
        if not bin_.photos:
            continue
        x = left + number * width + 1
        text = f"{bin_.photos} photos, mean probability {bin_.confidence:.3f}, {bin_.accuracy:.3f} right"
        honest, gap = min(bin_.accuracy, bin_.confidence), abs(bin_.accuracy - bin_.confidence)
        drawn = [(0.0, honest, "bar"), (honest, gap, "sure" if bin_.confidence > bin_.accuracy else "modest")]
        for low, share, class_ in drawn:
            y, height = top + SIDE * (1 - low - share), SIDE * share
            drawing.add("rect", title=text, x=x, y=y, width=width - 2, height=height, class_=class_)
        height = max(1.0, BARS * bin_.photos / most)
        drawing.add("rect", title=text, x=x, y=below + BARS - height, width=width - 2, height=height, class_="count")
    drawing.line(left, top + SIDE, left + SIDE, top, "honest")
    drawing.line(left, below + BARS, left + SIDE, below + BARS, "axis")
    drawing.text(left - 6, below + 8, str(most), "end")
    return str(drawing)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from at most ``low`` to at least ``high``, about ``most`` of them.

    Parameters
    ----------
    low, high
        Bounds, which may be equal.
    most
        Steps between them, at most.
    """
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
