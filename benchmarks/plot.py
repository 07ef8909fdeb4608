"""Draws how costs grow, from the printed tables.

``python -m benchmarks.plot figures.txt benchmarks/broadcast.svg``

Rules of this file:
- The name of the picture says what it shows.
- It reads the last such table of a file, so a plot and the figures can't differ.
- All axes are logarithmic: a cost that grows with its cause is a straight line. Across, the ticks
  are what was measured. Up, they are powers of ten.
- A curve has the same colour in all panels of a picture. What is slow is dashed.
- In the dark each colour has another one, which a style sheet of the picture itself names.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from types import MappingProxyType

from benchmarks import broadcast_report, workers_report

Curve = list[tuple[float, float]]
"""Numbers by what they grow with."""

Curves = dict[str, Curve]
"""By the heads of a table's columns."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One plot of a picture."""

    growth: str
    """The line before its table."""
    across: str
    up: str


PICTURES: Mapping[str, Sequence[Panel]] = MappingProxyType(
    {
        "broadcast": (Panel(broadcast_report.GROWTH, "subscribers", "µs of CPU for one event"),),
        "workers": (
            Panel(workers_report.PUBLISHED, "publishes at the same time", "publishes/s"),
            Panel(workers_report.PUBLISH_CPU, "publishes at the same time", "µs of CPU for each"),
            Panel(workers_report.DELAYS, "events/s", "ms to a client, p50 and p99 (dashed)"),
            Panel(workers_report.DELIVERIES, "workers", "deliveries/s of events in a row"),
        ),
    }
)

WIDTH, HEIGHT = 480, 340
"""Of a panel. Panels are one below the other, so that a phone can show their text."""

LEFT, RIGHT, TOP, BOTTOM = 86, 30, 36, 60
"""Margins of a panel."""

NAME_HEIGHT, NAMES_MARGIN, SAMPLE = 20, 16, 22
"""The names of the curves are on the top, each after a piece of its line."""

CURVES = MappingProxyType(
    {
        "#c2410c": "#fb923c",
        "#a16207": "#facc15",
        "#15803d": "#4ade80",
        "#1d4ed8": "#60a5fa",
        "#6b7280": "#9ca3af",
        "#7e22ce": "#c084fc",
    }
)
"""The colours of curves, in the light and in the dark."""

PAPER, INK, GRID = "#ffffff", "#374151", "#e5e7eb"

IN_THE_DARK = MappingProxyType({PAPER: "#14161d", INK: "#d1d5db", GRID: "#343a46", **CURVES})


def read_curves(text: str, growth: str) -> Curves:
    """Return the curves of the last table after a line."""
    _, found, table = text.rpartition(growth)
    if not found:
        raise SystemExit(f"there is no table after {growth!r}")
    lines = [line for line in table.strip().split("\n\n")[0].splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        name: [(number(row[0]), number(row[column])) for row in rows if row[column] != "-"]
        for column, name in enumerate(head)
        if column
    }


def number(text: str) -> float:
    return float(text.replace(",", ""))


class Axis:
    """Places numbers on a logarithmic axis.

    Args:
        ticks: its ends, and what is shown between them.
        begin: where the smallest tick is, in pixels.
        end: where the largest one is.
    """

    def __init__(self, ticks: Sequence[float], begin: float, end: float) -> None:
        self.ticks = ticks
        self._lowest, self._highest = log10(min(ticks)), log10(max(ticks))
        self._begin, self._end = begin, end

    def place(self, one: float) -> float:
        """Return the pixel of a number."""
        part = (log10(one) - self._lowest) / ((self._highest - self._lowest) or 1)
        return round(self._begin + part * (self._end - self._begin), 1)


def powers(numbers: Sequence[float]) -> list[float]:
    """Return the powers of ten around some numbers."""
    lowest, highest = floor(log10(min(numbers))), ceil(log10(max(numbers)))
    return [10.0**power for power in range(lowest, highest + 1)]


def draw(pictured: Sequence[tuple[Panel, Curves]]) -> str:
    """Return the plot as SVG: the names of the curves, and panels."""
    colours = colours_of(pictured)
    top = 2 * NAMES_MARGIN + NAME_HEIGHT * len(colours)
    size = f'viewBox="0 0 {WIDTH} {top + HEIGHT * len(pictured)}" width="{WIDTH}"'
    font = 'font-family="system-ui, sans-serif" font-size="14"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} fill="{INK}">',
        f"<style>@media (prefers-color-scheme: dark) {{ {dark_style()} }}</style>",
        f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>',
        *draw_names(colours),
    ]
    for at, (panel, curves) in enumerate(pictured):
        parts.append(f'<g transform="translate(0 {top + at * HEIGHT})">')
        parts += [*draw_panel(panel, curves, colours), "</g>"]
    return "\n".join([*parts, "</svg>\n"])


def dark_style() -> str:
    """Return the rules that replace each colour."""
    return " ".join(
        f'[{use}="{light}"] {{ {use}: {dark} }}'
        for light, dark in IN_THE_DARK.items()
        for use in ("fill", "stroke")
    )


def colours_of(pictured: Sequence[tuple[Panel, Curves]]) -> dict[str, str]:
    """Return the colours of all curves, in the order in which those of the first panel end."""
    first = pictured[0][1]
    ordered = sorted(first, key=lambda name: -first[name][-1][1])
    names = dict.fromkeys(main_part(name) for _, curves in pictured for name in curves)
    colours = dict(zip(names, CURVES, strict=False))
    return {name: colours[name] for name in dict.fromkeys([*ordered, *names])}


def main_part(name: str) -> str:
    """Return what a curve is of, without which part of it."""
    for part in (workers_report.MIDDLE, workers_report.LATE):
        name = name.removesuffix(f", {part}")
    return name


def draw_panel(panel: Panel, curves: Curves, colours: Mapping[str, str]) -> Iterator[str]:
    points = [point for curve in curves.values() for point in curve]
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    across = Axis(sorted({x for x, _ in points}), LEFT, right)
    up = Axis(powers([y for _, y in points]), bottom, TOP)
    for tick in across.ticks:
        x = across.place(tick)
        yield f'<path d="M{x} {TOP}V{bottom}" stroke="{GRID}"/>'
        yield f'<text x="{x}" y="{bottom + 20}" text-anchor="middle">{tick:,.10g}</text>'
    for tick in up.ticks:
        y = up.place(tick)
        yield f'<path d="M{LEFT} {y}H{right}" stroke="{GRID}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{tick:,.10g}</text>'
    middle = (LEFT + right) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 18}" text-anchor="middle">{escape(panel.across)}</text>'
    yield f'<text x="{NAMES_MARGIN}" y="{TOP - 20}" font-weight="600">{escape(panel.up)}</text>'
    for name, curve in curves.items():
        yield from draw_curve(curve, across, up, name, colours[main_part(name)])


def draw_curve(curve: Curve, across: Axis, up: Axis, name: str, colour: str) -> Iterator[str]:
    """Draw a curve, with a point for each number: it may have only one."""
    dashed = ' stroke-dasharray="4 4"' if name.endswith(workers_report.LATE) else ""
    places = [(across.place(x), up.place(y)) for x, y in curve]
    corners = " ".join(f"{x},{y}" for x, y in places)
    line = f'fill="none" stroke="{colour}" stroke-width="2"{dashed}'
    yield f'<polyline points="{corners}" {line}/>'
    for x, y in places:
        yield f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'


def draw_names(colours: Mapping[str, str]) -> Iterator[str]:
    left, text_left = NAMES_MARGIN, NAMES_MARGIN + SAMPLE + 8
    for row, (name, colour) in enumerate(colours.items()):
        text = escape(name.replace("`", ""))
        y = NAMES_MARGIN + NAME_HEIGHT * row + 9
        yield f'<path d="M{left} {y}h{SAMPLE}" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{text_left}" y="{y + 5}" fill="{colour}">{text}</text>'


def main(figures: Path, picture: Path) -> None:
    text = figures.read_text("utf-8")
    panels = PICTURES[picture.stem]
    pictured = [(panel, read_curves(text, panel.growth)) for panel in panels]
    picture.write_text(draw(pictured), "utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
