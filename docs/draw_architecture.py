"""Draws the packages of `sse_middleware` and their imports: `docs/images/architecture.svg`.

``python docs/draw_architecture.py`` reads the imports from the code. Where a package can be reached
through another one, the direct arrow is left out. With ``--check`` nothing is written, and the exit
code is 1 if the picture doesn't match the code.

Rules of this file:
- Arrows go down. Each package is one row above the highest of those that it imports.
- A package has a box, a module a rounded one. The order within a row follows those above, so that
  few arrows cross.
- The picture brings its own background, and other colours for the dark.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sse_middleware"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

WIDTH, ROW, BOX_HEIGHT, LETTER, PADDING = 860, 62, 26, 7.4, 20
PAPER, TEXT, ARROW = "#ffffff", "#111827", "#94a3b8"
PACKAGE_COLOURS, MODULE_COLOURS = ("#dbeafe", "#2563eb"), ("#f3f4f6", "#6b7280")
"""What fills a box, and its line."""

IN_THE_DARK = {
    PAPER: "#14161d",
    TEXT: "#e5e7eb",
    ARROW: "#64748b",
    **dict(zip(PACKAGE_COLOURS, ("#1e3a5f", "#60a5fa"), strict=True)),
    **dict(zip(MODULE_COLOURS, ("#272b35", "#9ca3af"), strict=True)),
}
DARK_STYLE = " ".join(
    f'[{use}="{light}"] {{ {use}: {dark} }}'
    for light, dark in IN_THE_DARK.items()
    for use in ("fill", "stroke")
)

HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    'font-family="ui-monospace, monospace" font-size="12" role="img">'
)
ARROW_HEAD = (
    '<marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    f'orient="auto"><path d="M0 0L8 4L0 8z" fill="{ARROW}"/></marker>'
)

Arrows = dict[str, set[str]]
"""From each package or module of the root to those that it imports."""


def room_of(path: Path) -> str:
    """Return the package or the module of the root that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def read_arrows() -> Arrows:
    """Read the imports of all files but the top level, which imports only names."""
    arrows: Arrows = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = room_of(path)
        if room == "__init__":
            continue
        names = [
            f"{node.module}.{alias.name}"
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        ]
        rooms = {name.split(".")[1] for name in names if name.startswith("sse_middleware.")}
        arrows.setdefault(room, set()).update(rooms - {room, "__version__"})
    return arrows


def reduced(arrows: Arrows) -> Arrows:
    """Leave out each arrow that leads where others lead too."""

    def reached(room: str) -> set[str]:
        return {room}.union(*map(reached, arrows[room]))

    return {
        room: {
            one for one in imported if not any(one in reached(other) for other in imported - {one})
        }
        for room, imported in arrows.items()
    }


def rows_of(arrows: Arrows) -> list[list[str]]:
    """Return the names by rows, the highest first."""

    def height(room: str) -> int:
        return 1 + max(map(height, arrows[room]), default=-1)

    heights = {room: height(room) for room in sorted(arrows)}
    rows = [
        [one for one in heights if heights[one] == row]
        for row in range(max(heights.values()), -1, -1)
    ]
    return sorted_rows(rows, arrows)


def sorted_rows(rows: list[list[str]], arrows: Arrows) -> list[list[str]]:
    """Return the rows with each name near those that import it."""
    places = {name: place for row in rows for name, place in spread(row)}

    def wanted(name: str) -> float:
        above = [places[other] for other, imported in arrows.items() if name in imported]
        return sum(above) / len(above) if above else places[name]

    for _ in range(4):
        for index, row in enumerate(rows):
            rows[index] = sorted(row, key=lambda name: (wanted(name), name))
            places |= dict(spread(rows[index]))
    return rows


def width_of(name: str) -> float:
    """Return the width of the box with a name."""
    return len(name) * LETTER + PADDING


def spread(row: list[str]) -> list[tuple[str, float]]:
    """Return the middle of each box of a row."""
    gap = (WIDTH - sum(map(width_of, row))) / (len(row) + 1)
    places, left = [], gap
    for name in row:
        places.append((name, left + width_of(name) / 2))
        left += width_of(name) + gap
    return places


def drawn() -> str:
    """Return the picture as SVG."""
    arrows = reduced(read_arrows())
    rows = rows_of(arrows)
    at = {
        name: (round(place), 20 + ROW * index)
        for index, row in enumerate(rows)
        for name, place in spread(row)
    }
    lines = [
        HEAD.format(width=WIDTH, height=ROW * len(rows) - 20),
        f"<style>@media (prefers-color-scheme: dark) {{ {DARK_STYLE} }}</style>",
        f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>',
        "<title>The packages of sse_middleware and what they import</title>",
        ARROW_HEAD,
    ]
    for name in sorted(arrows):
        lines += [arrow(at[name], at[other]) for other in sorted(arrows[name])]
    lines += [box(name, *at[name]) for name in sorted(at)]
    return "\n".join([*lines, "</svg>", ""])


def arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    """Return a curve from the lower side of a box to the upper side of another one."""
    (left, top), (right, bottom) = start, end
    top, bottom = top + BOX_HEIGHT // 2, bottom - BOX_HEIGHT // 2
    bend = (bottom - top) // 2
    return (
        f'<path d="M{left} {top}C{left} {top + bend} {right} {bottom - bend} {right} {bottom}" '
        f'fill="none" stroke="{ARROW}" marker-end="url(#to)"/>'
    )


def box(name: str, x: int, y: int) -> str:
    """Return a box with its name."""
    package = (PACKAGE / name).is_dir()
    fill, line = PACKAGE_COLOURS if package else MODULE_COLOURS
    corner = 3 if package else BOX_HEIGHT // 2
    width = round(width_of(name))
    return (
        f'<rect x="{x - width // 2}" y="{y - BOX_HEIGHT // 2}" width="{width}" '
        f'height="{BOX_HEIGHT}" rx="{corner}" fill="{fill}" stroke="{line}"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" fill="{TEXT}">{name}</text>'
    )


def main() -> int:
    """Write the picture, or check it. Returns the exit code."""
    if "--check" in sys.argv:
        return int(drawn() != PICTURE.read_text("utf-8"))
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(drawn(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
