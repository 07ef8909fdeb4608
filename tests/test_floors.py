"""The floors of the house: imports only go down, and nothing happens when a module is imported."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sse_middleware

FLOORS = {
    "words": [
        "errors",
        "wire",
        "annotations",
        "events",
        "typed",
        "records",
        "compression",
        "default",
        "checks",
        "preset",
        "settings",
        "accept",
        "datastar",
        "presets",
    ],
    "ground": ["alarms", "backends", "signals", "cancellation", "companions", "shutdown"],
    "sources": [
        "item_type",
        "item_schema",
        "payload",
        "iterables",
        "body_text",
        "bodies",
        "conversion",
    ],
    "pipe": ["outbox", "connection", "registry", "writer", "ends", "stream"],
    "handover": ["handover"],
    "doors": [
        "head",
        "routing",
        "admission",
        "response",
        "endpoint",
        "operations",
        "openapi",
        "compat.__init__",
        "compat.sse_starlette",
        "legacy",
        "adoption",
        "polling",
        "stats",
        "tagged",
        "middleware",
    ],
    "top": ["__init__"],
    "guests": [
        "observers.__init__",
        "observers.logging",
        "observers.opentelemetry",
        "pytest_plugin",
        "typescript",
        "__main__",
        "testing.__init__",
        "testing.client",
        "testing.asyncio_time",
        "testing.clock",
        "testing.course",
        "testing.errors",
        "testing.event_stream",
        "testing.exchange",
        "testing.leftovers",
        "testing.lifespan",
        "testing.sync",
        "testing.transport",
        "testing.trio_time",
    ],
}
FLOOR_OF = {module: floor for floor, modules in FLOORS.items() for module in modules}
HEIGHTS = {floor: height for height, floor in enumerate(FLOORS)}
SIBLINGS = {("pipe", "sources")}  # they meet upstairs

RUNTIME = {"anyio", "asgiref", "pydantic", "starlette"}
MAY_IMPORT = {
    "words": {"pydantic", "pydantic_core", "typing_extensions"},
    "ground": {"anyio", "trio"},  # trio inside a function: no dependency, but it is running
    "sources": {"anyio", "pydantic", "pydantic_core"},
    "pipe": {"anyio", "asgiref", "starlette"},
    "handover": {"anyio", "starlette"},
    "doors": RUNTIME | {"fastapi"},  # inside functions: no dependency, but it is there
    "top": set[str](),
    "guests": {"anyio", "httpx", "opentelemetry", "pydantic", "pytest", "starlette", "trio"},
}

CALLED_AT_IMPORT = {
    "logging.getLogger": "a logger is the interpreter's, looked up by its name",
    "SchemaSerializer": "compiled once, holds nothing of what it serialises",
    "any_schema": "an argument of the above",
    "CoreConfig": "an argument of the above",
    "re.compile": "a pattern",
    "TypeVar": "a type",
    "Preset": "frozen",
    "ServerSentEvent": "frozen",
    "find_spec": "whether trio is there",
}
TESTED_AT_IMPORT = {"TYPE_CHECKING", "__name__ == '__main__'"}
CONSTANTS = {
    "__all__": "Python wants a list",
    "_SSE_EVENT_SCHEMA": "FastAPI's name and type: a fragment for its OpenAPI document",
}

PACKAGE = Path(sse_middleware.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


TREES = {module_of(path): ast.parse(path.read_text("utf-8"), path) for path in FILES}
each_module = pytest.mark.parametrize("module", TREES)


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names, of every import at any depth; relative ones don't occur."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def floor_of(name: str) -> str:
    """The floor of the module that an imported name is, or is in."""
    while name not in FLOOR_OF:
        if f"{name}.__init__" in FLOOR_OF:
            return FLOOR_OF[f"{name}.__init__"]
        name = name.rpartition(".")[0] or "__init__"
    return FLOOR_OF[name]


def mutable(value: ast.AST) -> Iterator[str]:
    """What in an expression makes an object that can change, or may do anything: calls."""
    if isinstance(value, ast.Subscript | ast.Lambda):  # types; not evaluated
        return
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "MappingProxyType":
        return  # a table that nobody can change
    if isinstance(value, ast.Call) and ast.unparse(value.func) not in CALLED_AT_IMPORT:
        yield ast.unparse(value)
    if isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp):
        yield ast.unparse(value)
    for child in ast.iter_child_nodes(value):
        yield from mutable(child)


def test_every_module_lives_on_a_floor() -> None:
    assert sorted(TREES) == sorted(FLOOR_OF)


@each_module
def test_imports_only_go_down(module: str) -> None:
    floor = FLOOR_OF[module]
    for name in imports(TREES[module]):
        package, _, rest = name.partition(".")
        if package == "sse_middleware":
            below = floor_of(rest)
            assert HEIGHTS[below] <= HEIGHTS[floor], name
            assert (floor, below) not in SIBLINGS, name
        else:
            assert package in sys.stdlib_module_names | MAY_IMPORT[floor], name


@pytest.mark.parametrize("optional", ["trio", "fastapi"])
def test_what_is_no_dependency_is_only_imported_where_it_is_used(optional: str) -> None:
    for tree in TREES.values():
        at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert not [
            name
            for node in at_import
            for name in imports(node)
            if name.partition(".")[0] == optional
        ]


@each_module
def test_importing_a_module_only_defines_things(module: str) -> None:
    imported = (ast.Import, ast.ImportFrom)
    defined = (*imported, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in TREES[module].body:
        if isinstance(node, ast.Expr):
            assert isinstance(node.value, ast.Constant), ast.unparse(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) not in CONSTANTS and node.value is not None:
                assert not list(mutable(node.value)), ast.unparse(node)
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) in TESTED_AT_IMPORT):
            assert isinstance(node, defined), ast.unparse(node)


@each_module
def test_no_module_changes_its_own_names_later(module: str) -> None:
    assert not [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Global)]


def test_nothing_is_called_utils() -> None:
    assert not [path for path in FILES if "util" in path.stem]
