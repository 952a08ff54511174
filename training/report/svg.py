"""A little SVG: elements that escape what they hold, and axes."""

import math
from xml.etree.ElementTree import Element, SubElement, tostring


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


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from at most ``low`` to at least ``high``, about ``most`` of them."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
