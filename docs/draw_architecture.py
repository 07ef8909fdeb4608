"""Draws the packages of `sse_middleware` and their imports into `docs/architecture.md`.

``python docs/draw_architecture.py`` reads the imports from the code. Where a package can be reached
through another one, the direct arrow is left out. With ``--check`` nothing is written, and the exit
code is 1 if the picture doesn't match the code.
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sse_middleware"
DOCUMENT = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by docs/draw_architecture.py -->\n", "<!-- end of the drawing -->\n"

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


def drawn() -> str:
    """Return the picture as Mermaid."""
    lines = ["```mermaid", "flowchart TD"]
    for room, imported in sorted(reduced(read_arrows()).items()):
        shape = f'{room}["{room}/"]' if (PACKAGE / room).is_dir() else f"{room}({room})"
        lines.append(f"    {shape}")
        lines += [f"    {room} --> {other}" for other in sorted(imported)]
    return "\n".join([*lines, "```", ""])


def main() -> int:
    """Write the picture, or check it. Returns the exit code."""
    before, _, rest = DOCUMENT.read_text("utf-8").partition(BEGIN)
    old, _, after = rest.partition(END)
    new = drawn()
    if "--check" in sys.argv:
        return int(new != old)
    DOCUMENT.write_text(before + BEGIN + new + END + after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
