"""The Python that the page shows: read from the files that run, and highlighted here."""

import ast
import html
import inspect
import io
import keyword
import tokenize
from collections.abc import Iterator
from types import ModuleType

_KINDS = {tokenize.COMMENT: "comment", tokenize.NUMBER: "number", tokenize.STRING: "string"}

# From Python 3.12 on, the text of an f-string has tokens of its own.
_KINDS |= {
    getattr(tokenize, name): "string"
    for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
    if hasattr(tokenize, name)
}


def source_of(module: ModuleType) -> str:
    """Return the source of what a module shows of itself: the names in its ``SHOWN``."""
    source = inspect.getsource(module)
    found = {name: node for node in ast.parse(source).body for name in _names(node)}
    lines = source.splitlines()
    nodes = (found[name] for name in module.SHOWN)
    return "\n\n".join("\n".join(lines[_first_line(node) - 1 : node.end_lineno]) for node in nodes)


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    return [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno] + [decorator.lineno for decorator in decorators])


def highlighted(source: str) -> str:
    """Return Python as HTML, with a ``<span>`` around each line, and what has a colour of its own.

    The class of a line says how far it is indented: where it is too long, its rest is, too.
    """
    lines = zip(source.splitlines(), _with_colours(source).splitlines(), strict=True)
    return "".join(
        f'<span class="row in{_indent(line)}">{coloured}\n</span>' for line, coloured in lines
    )


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _with_colours(source: str) -> str:
    lines = source.splitlines(keepends=True)
    row, column, pieces = 1, 0, []
    for kind, start, end in _coloured(source):
        between = f'</span>\n<span class="{kind}">'  # a span ends with its line
        pieces.append(html.escape(_between(lines, (row, column), start)))
        token = html.escape(_between(lines, start, end)).replace("\n", between)
        pieces.append(f'<span class="{kind}">{token}</span>')
        row, column = end
    pieces.append(html.escape(_between(lines, (row, column), (len(lines) + 1, 0))))
    return "".join(pieces)


def _coloured(source: str) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = _KINDS.get(token.type)
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            kind = "keyword"
        elif token.type == tokenize.NAME and before in {"def", "class", "@"}:
            kind = "defined"
        if kind:
            yield kind, token.start, token.end
        before = token.string


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    (first, left), (last, right) = start, end
    if first == last:
        return lines[first - 1][left:right] if first <= len(lines) else ""
    rest = lines[last - 1][:right] if last <= len(lines) else ""
    return "".join([lines[first - 1][left:], *lines[first : last - 1], rest])
