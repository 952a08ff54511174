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
    """Draw the losses of a manifest's ``history``; ``best`` is the epoch that was kept."""
    training = [each["train_loss"] for each in history]
    validation = [each["validation"]["loss"] for each in history]
    return _curves("Loss", history, best, {"training": training, "validation": validation}, 0.0, None)


def accuracy_curve(history: Sequence[Mapping[str, Any]], best: int) -> str:
    """Draw the validation accuracy."""
    accuracy = [each["validation"]["accuracy"] for each in history]
    return _curves("Accuracy", history, best, {"validation": accuracy}, None, 1.0)


def _curves(
    title: str,
    history: Sequence[Mapping[str, Any]],
    best: int,
    lines: Mapping[str, Sequence[float]],
    low: float | None,
    high: float | None,
) -> str:
    numbers = [each["number"] for each in history]
    values = [value for line in lines.values() for value in line]
    y_ticks = ticks(min(values) if low is None else low, max(values) if high is None else high)
    first: int = numbers[0]
    last: int = max(numbers[-1], first + 1)
    drawing = Drawing(WIDTH, HEIGHT, f"{title} by epoch")

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - first) / (last - first)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (y_ticks[-1] - value) / (y_ticks[-1] - y_ticks[0])

    for tick in y_ticks:
        drawing.line(LEFT, y(tick), WIDTH - RIGHT, y(tick), "grid")
        drawing.text(LEFT - 6, y(tick) + 4, f"{tick:.6g}", "end")
    for tick in sorted({round(each) for each in ticks(first, last) if first <= each <= last} | {first}):
        drawing.text(x(tick), HEIGHT - BOTTOM + 16, str(tick), "middle")
    drawing.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "epoch", "middle")
    if first <= best <= last:
        drawing.line(x(best), TOP, x(best), HEIGHT - BOTTOM, "best")
    drawing.text(LEFT, 16, title, "strong")
    right: float = WIDTH - RIGHT
    for name in reversed(list(lines)):
        drawing.text(right, 16, name, f"end key-{name}")
        right -= 6.4 * len(name) + 28
        drawing.line(right, 12, right + 24, 12, f"curve line-{name}")
        right -= 16
    for name, line in lines.items():
        points = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in zip(numbers, line, strict=True))
        drawing.add("polyline", points=points, class_=f"curve line-{name}")
        for epoch, value in zip(numbers, line, strict=True) if len(numbers) <= MARKED else ():
            text = f"epoch {epoch}: {name} {title.lower()} {value:.4f}"
            drawing.add("circle", title=text, cx=x(epoch), cy=y(value), r=3, class_=f"mark-{name}")
    return str(drawing)


def reliability(found: Calibration, title: str) -> str:
    """Draw how often answers of each confidence are right, and how many there are of it."""
    left, top = 46, 44
    below = top + SIDE + 30
    drawing = Drawing(left + SIDE + 14, below + BARS + 38, f"Reliability diagram, {title}")
    drawing.text(left, 16, title, "strong")
    drawing.text(left, 33, f"expected calibration error {found.error:.4f}")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y, x = top + SIDE * (1 - tick), left + SIDE * tick
        drawing.line(left, y, left + SIDE, y, "grid")
        drawing.text(left - 6, y + 4, f"{tick:g}", "end")
        drawing.text(x, below + BARS + 16, f"{tick:g}", "middle")
    drawing.text(left + SIDE / 2, below + BARS + 32, "probability of the answer", "middle")
    drawing.text(left, below - 8, "photos")
    width, most = SIDE / BINS, max(1, *(each.photos for each in found.bins))
    for number, each in enumerate(found.bins):
        if not each.photos:
            continue
        x = left + number * width + 1
        text = f"{each.photos} photos, mean probability {each.confidence:.3f}, {each.accuracy:.3f} right"
        honest, gap = min(each.accuracy, each.confidence), abs(each.accuracy - each.confidence)
        drawn = [(0.0, honest, "bar"), (honest, gap, "sure" if each.confidence > each.accuracy else "modest")]
        for low, share, class_ in drawn:
            y, height = top + SIDE * (1 - low - share), SIDE * share
            drawing.add("rect", title=text, x=x, y=y, width=width - 2, height=height, class_=class_)
        height = max(1.0, BARS * each.photos / most)
        drawing.add("rect", title=text, x=x, y=below + BARS - height, width=width - 2, height=height, class_="count")
    drawing.line(left, top + SIDE, left + SIDE, top, "honest")
    drawing.line(left, below + BARS, left + SIDE, below + BARS, "axis")
    drawing.text(left - 6, below + 8, str(most), "end")
    return str(drawing)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from at most ``low`` to at least ``high``, about ``most`` of them."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
