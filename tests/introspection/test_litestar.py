"""Whether a function is for Litestar, by what its module imports."""

import sys
from types import FunctionType, ModuleType
from typing import Any

import pytest

from sse_middleware.introspection.litestar import is_for_litestar


def function_of(*modules: str) -> Any:
    """Return a function whose module has imported something of these modules."""
    names = {module: type("Imported", (), {"__module__": module}) for module in modules}
    return FunctionType((lambda: None).__code__, names)


@pytest.mark.parametrize(
    ("imported", "function", "expected"),
    [
        ((), function_of("litestar.handlers"), False),
        (("fastapi",), function_of("litestar.handlers"), False),
        (("litestar",), function_of("fastapi.routing"), True),
        (("litestar",), print, True),
        (("litestar", "fastapi"), function_of("litestar.handlers"), True),
        (("litestar", "fastapi"), function_of("litestar.handlers", "fastapi.routing"), False),
        (("litestar", "fastapi"), function_of("fastapi.routing"), False),
        (("litestar", "fastapi"), function_of("litestarry", "typing"), False),
        (("litestar", "fastapi"), print, False),
    ],
)
def test_what_a_module_imports_shows_whom_its_functions_are_for(
    monkeypatch: pytest.MonkeyPatch, imported: tuple[str, ...], function: Any, expected: bool
) -> None:
    for name in ("litestar", "fastapi"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        if name in imported:
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
    assert is_for_litestar(function) is expected
