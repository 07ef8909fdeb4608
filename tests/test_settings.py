"""Settings are checked when they are made, and never change afterwards."""

import math
from dataclasses import FrozenInstanceError, fields
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any, Literal, get_args, get_type_hints

import pytest

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.settings import DEFAULT, Default, StreamOptions, StreamSettings

SECONDS = ("ping_interval", "commit_after", "cleanup_timeout")


async def some_coroutine_function(*_: object) -> str:
    return ""


def some_function(*_: object) -> str:
    return ""


ALLOWED: dict[str, list[Any]] = {
    "ping_interval": [0.001, 1, 1e9, None, DEFAULT],
    "commit_after": [0, 0.0, 0.001, 1, 1e9],
    "cleanup_timeout": [0, 0.0, 0.001, 1, 1e9],
    "ping": ["", "ping", "two\nlines", ServerSentEvent(event="ping"), some_function],
    "max_buffer": [1, 10**12],
    "serializer": [None, some_function],
    "error_event": [None, some_function],
}
REFUSED: dict[str, list[Any]] = {
    **{
        name: [-1, -0.001, math.nan, math.inf, -math.inf, True, False, "5", b"5", Decimal(5), [5]]
        for name in SECONDS
    },
    "ping": [None, 5, b"ping", True, ["ping"], "\ud800"],
    "max_buffer": [0, -1, 1.0, 1e9, math.inf, True, None, "64"],
    "serializer": [5, "json", b"", True, {}],
    "error_event": [5, "error", True, ServerSentEvent(event="error"), some_coroutine_function],
}
REFUSED["ping_interval"] += [0, 0.0, -0.0, 10**400]
REFUSED["commit_after"] += [None, 10**400]
REFUSED["cleanup_timeout"] += [None, 10**400]


def pairs(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}={value!r}"[:60])
        for name, values in table.items()
        for value in values
    ]


def test_the_tables_cover_every_setting() -> None:
    names = [field.name for field in fields(StreamSettings)]
    assert sorted(ALLOWED) == sorted(REFUSED) == sorted(names)


@pytest.mark.parametrize(("name", "value"), pairs(ALLOWED))
def test_what_can_work_is_kept_as_it_was_given(name: str, value: Any) -> None:
    options: Any = {name: value}
    assert getattr(StreamSettings(**options), name) is value
    assert getattr(StreamSettings.of(options), name) is value
    assert getattr(StreamSettings().overridden(options), name) is value


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_what_can_not_work_is_refused_by_name_and_value(name: str, value: Any) -> None:
    options: Any = {name: value}
    for make in (StreamSettings.of, StreamSettings().overridden):
        with pytest.raises(ConfigurationError) as caught:
            make(options)
        assert str(caught.value).startswith(f"{name} must be ")
        assert str(caught.value).endswith(f", got {value!r}")
    with pytest.raises(ConfigurationError):
        StreamSettings(**options)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ping_intervall", "did you mean 'ping_interval'?"),
        ("pings", "did you mean 'ping'?"),
        ("max_buffer_size", "did you mean 'max_buffer'?"),
        ("zzz", "known are ping_interval, ping, commit_after, cleanup_timeout, max_buffer, "),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(name: str, hint: str) -> None:
    options: Any = {"ping": "p", name: None}
    for make in (StreamSettings.of, StreamSettings().overridden):
        with pytest.raises(ConfigurationError) as caught:
            make(options)
        assert str(caught.value).startswith(f"unknown setting {name!r}: {hint}")


def test_the_defaults() -> None:
    settings = StreamSettings()
    assert settings == StreamSettings.of({}) == settings.overridden({})
    assert settings.ping_interval is DEFAULT  # so that it is looked up when a stream starts
    assert settings.ping == "ping"
    assert settings.serializer is settings.error_event is None
    assert "ping_interval=DEFAULT" in repr(settings)


def test_an_override_wins_and_leaves_the_rest() -> None:
    app = StreamSettings.of({"ping_interval": 5, "ping": "app", "max_buffer": 10})
    route = app.overridden({"ping": "route", "commit_after": 0})
    response = route.overridden({"ping_interval": None})
    assert response == StreamSettings(
        ping_interval=None, ping="route", max_buffer=10, commit_after=0
    )


def test_an_override_may_return_to_the_default() -> None:
    options: Any = {"ping_interval": DEFAULT}
    assert StreamSettings(ping_interval=5).overridden(options) == StreamSettings()


def test_nothing_that_was_passed_in_is_changed() -> None:
    options: StreamOptions = {"ping_interval": 5, "ping": "app"}
    over: StreamOptions = {"ping": "route"}
    app = StreamSettings.of(options)
    app.overridden(over)
    assert options == {"ping_interval": 5, "ping": "app"}
    assert over == {"ping": "route"}
    assert app == StreamSettings(ping_interval=5, ping="app")


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_settings_are_frozen(name: str) -> None:
    settings: Any = StreamSettings()
    with pytest.raises(FrozenInstanceError):
        setattr(settings, name, getattr(settings, name))


def test_the_options_are_the_settings_as_keyword_arguments() -> None:
    settings, options = get_type_hints(StreamSettings), get_type_hints(StreamOptions)
    # The default stands for a keyword argument that isn't given, so none can be given as it.
    spoken = [one for one in get_args(settings["ping_interval"]) if one != Literal[Default.DEFAULT]]
    assert options == {**settings, "ping_interval": reduce(or_, spoken)}
    assert StreamOptions.__required_keys__ == frozenset()
