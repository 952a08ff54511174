"""Curves over the epochs, and how honest the probabilities are."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.metrics.calibration import BINS, Calibration
from training.report.svg import Drawing, ticks

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 38
"""Pixels around what a chart shows."""

MARKED = 40
"""Up to so many epochs, each has a mark that says its numbers."""

SIDE, BARS = 260, 70
"""Pixels: the square of a reliability diagram, and the height of the histogram below it."""


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
