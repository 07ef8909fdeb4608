"""Whether Flask or Quart runs a view is read from their modules, if they are imported."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sse_middleware import EventSourceResponse
from sse_middleware.introspection.views import running_view


def imported(monkeypatch: pytest.MonkeyPatch, name: str, *, in_view: bool) -> None:
    """Put a module with the two names that Flask and Quart share into the place of theirs."""
    module: Any = ModuleType(name)
    module.has_request_context = lambda: in_view
    module.request = SimpleNamespace(endpoint="events")
    monkeypatch.setitem(sys.modules, name, module)


def test_without_flask_there_is_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "flask", raising=False)
    monkeypatch.delitem(sys.modules, "quart", raising=False)
    assert running_view() is None


@pytest.mark.parametrize("name", ["flask", "quart"])
def test_outside_of_a_view_there_is_none(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    imported(monkeypatch, name, in_view=False)
    assert running_view() is None
    EventSourceResponse([1])


@pytest.mark.parametrize("name", ["flask", "quart"])
def test_a_view_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    imported(monkeypatch, name, in_view=True)
    assert running_view() == f"{name} view 'events'"
    with pytest.raises(TypeError, match=f"{name} view 'events': .*ASGI"):
        EventSourceResponse([1])
