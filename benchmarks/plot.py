"""Draws how the cost of an event grows with its subscribers, from the printed table.

``python -m benchmarks.plot figures.txt benchmarks/broadcast.svg``

Rules of this file:
- It reads the last such table of a file, so the plot and the figures can't differ.
- Both axes are logarithmic: a cost that grows with the subscribers is a straight line.
"""

import sys
from collections.abc import Iterator, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path

from benchmarks.broadcast_report import GROWTH

Curve = list[tuple[float, float]]
"""The cost in µs by the number of subscribers."""

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 80, 260, 40, 60
"""Margins. The names of the curves are on the right."""

COLOURS = ("#c2410c", "#ca8a04", "#15803d", "#1d4ed8", "#6b7280", "#7e22ce")

NAME_HEIGHT = 18


def read_curves(text: str) -> dict[str, Curve]:
    """Return the curves of the last table, by contender."""
    _, _, table = text.rpartition(GROWTH)
    lines = [line for line in table.strip().split("\n\n")[0].splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        name: [(number(row[0]), number(row[column])) for row in rows]
        for column, name in enumerate(head)
        if column
    }


def number(text: str) -> float:
    return float(text.replace(",", ""))


class Axis:
    """Places numbers on a logarithmic axis, whose ends are powers of ten.

    Args:
        numbers: all that have a place on it.
        begin: where the smallest power of ten is, in pixels.
        end: where the largest one is.
    """

    def __init__(self, numbers: Sequence[float], begin: float, end: float) -> None:
        self._lowest, self._highest = floor(log10(min(numbers))), ceil(log10(max(numbers)))
        self._begin, self._end = begin, end

    def place(self, one: float) -> float:
        """Return the pixel of a number."""
        part = (log10(one) - self._lowest) / max(1, self._highest - self._lowest)
        return round(self._begin + part * (self._end - self._begin), 1)

    def ticks(self) -> list[int]:
        """Return the powers of ten."""
        return [10**power for power in range(self._lowest, self._highest + 1)]


def draw(curves: dict[str, Curve]) -> str:
    """Return the plot as SVG."""
    points = [point for curve in curves.values() for point in curve]
    across = Axis([subscribers for subscribers, _ in points], LEFT, WIDTH - RIGHT)
    up = Axis([cost for _, cost in points], HEIGHT - BOTTOM, TOP)
    style = 'font-family="system-ui, sans-serif" font-size="13" fill="#374151"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {style}>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *draw_axes(across, up),
            *draw_curves(curves, across, up),
            "</svg>\n",
        ]
    )


def draw_axes(across: Axis, up: Axis) -> Iterator[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for tick in across.ticks():
        x = across.place(tick)
        yield f'<path d="M{x} {TOP}V{bottom}" stroke="#e5e7eb"/>'
        yield f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{tick:,}</text>'
    for tick in up.ticks():
        y = up.place(tick)
        yield f'<path d="M{LEFT} {y}H{right}" stroke="#e5e7eb"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:,}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">subscribers</text>'
    yield f'<text x="{LEFT - 60}" y="{TOP - 16}">µs of CPU for one event</text>'


def draw_curves(curves: dict[str, Curve], across: Axis, up: Axis) -> Iterator[str]:
    """Draw the curves, and their names in the order in which they end."""
    by_end = sorted(curves, key=lambda name: -curves[name][-1][1])
    for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
        corners = " ".join(f"{across.place(x)},{up.place(y)}" for x, y in curve)
        yield f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"/>'
        y = TOP + NAME_HEIGHT * (by_end.index(name) + 1)
        text = escape(name.replace("`", ""))
        yield f'<text x="{WIDTH - RIGHT + 16}" y="{y}" fill="{colour}">{text}</text>'


if __name__ == "__main__":
    figures, picture = map(Path, sys.argv[1:])
    picture.write_text(draw(read_curves(figures.read_text("utf-8"))), "utf-8")
