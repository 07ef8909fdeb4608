"""URLs of stores."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from sse_middleware.errors import ConfigurationError
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.hub.stores import store_maker

NONE: Any = {"prefix": None, "durable": False, "client": None}


def test_memory() -> None:
    assert store_maker(None, **NONE) is MemoryStore


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///events.db", "{here}/events.db"),
        ("sqlite:///var/../events.db", "{here}/events.db"),
        ("sqlite:////var/lib/events.db", "/var/lib/events.db"),
    ],
)
def test_paths(url: str, path: str) -> None:
    made: Any = store_maker(url, prefix=None, durable=True, client=None)
    assert made.args == (path.format(here=os.getcwd()),)  # noqa: PTH109 - a text, as above
    assert made.keywords == {"durable": True}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///:memory:", r"needs no SQLite: use Hub\(\)"),
        ("sqlite://", r"needs no SQLite: use Hub\(\)"),
        ("sqlite://events.db", "sqlite:////var/lib/events.db for an absolute one, got"),
        ("sqlite:///", "for an absolute one, got"),
        ("sqlite:///events.db?mode=ro", "for an absolute one, got"),
        ("sqlite:///a\0b", "for an absolute one, got"),
        ("sqlite:///directory/", "for an absolute one, got"),
        ("postgres://x", "begin with one of sqlite://.*, got 'postgres'"),
        ("events.db", "begin with one of .*, got 'events.db'"),
        (5, "begin with one of .*, got '5'"),
    ],
)
def test_what_is_refused(url: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Hub(url)


@pytest.mark.parametrize("wrong", [{"prefix": "x"}, {"durable": True}])
def test_settings_that_memory_has_not(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="a hub without a URL is in memory"):
        Hub(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"prefix": "x"}, "prefix and client are for Redis"), ({"client": object()}, "not both")],
)
def test_settings_that_a_file_has_not(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Hub("sqlite:///events.db", **wrong)


def test_a_system_without_unix_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(ConfigurationError, match="needs Unix sockets"):
        Hub("sqlite:///events.db")


def test_nothing_is_opened_where_a_hub_is_made(tmp_path: Path) -> None:
    Hub(f"sqlite:///{tmp_path}/events.db")
    assert list(tmp_path.iterdir()) == []
