"""The top level imports what it names when it is used, so pytest doesn't pay for the package."""

import subprocess
import sys

import pytest

import sse_middleware

HEAVY = ("starlette", "pydantic", "anyio", "httpx")

SAYS_WHAT_IS_LOADED = f"print(*[name for name in {HEAVY} if name in __import__('sys').modules])"


def loaded_after(code: str) -> list[str]:
    """What of the heavy packages a fresh interpreter has loaded after some code."""
    command = [sys.executable, "-c", f"{code}\n{SAYS_WHAT_IS_LOADED}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import sse_middleware; sse_middleware.__version__") == []


def test_importing_the_pytest_plugin_loads_nothing_heavy() -> None:
    assert loaded_after("import sse_middleware.pytest_plugin") == []


def test_the_check_sees_what_is_loaded() -> None:
    assert "pydantic" in loaded_after("from sse_middleware import ServerSentEvent")
    assert "starlette" not in loaded_after("from sse_middleware import ServerSentEvent")


@pytest.mark.parametrize("name", sse_middleware.__all__)
def test_each_name_is_there_and_is_listed(name: str) -> None:
    assert getattr(sse_middleware, name) is getattr(sse_middleware, name)
    assert name in dir(sse_middleware)


def test_names_are_imported_in_any_order() -> None:
    names = sse_middleware.__all__
    for order in (names, names[::-1]):
        assert "starlette" in loaded_after(f"from sse_middleware import {', '.join(order)}")


def test_a_package_is_imported_too() -> None:
    assert sse_middleware.__getattr__("presets") is sse_middleware.presets


def test_other_names_are_no_attributes() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        sse_middleware.Nothing  # noqa: B018 - reading it is the test
    assert not hasattr(sse_middleware, "__path_hooks__")


def test_help_begins_with_what_a_user_needs() -> None:
    first = (sse_middleware.__doc__ or "").partition("\n\n")[2]
    assert first.lstrip().startswith("app.add_middleware(SSEMiddleware)")
