"""Settings and the policy are checked when they are made, and never change afterwards."""

import math
from dataclasses import FrozenInstanceError, fields
from decimal import Decimal
from functools import partial, reduce
from operator import or_
from typing import Any, Literal, get_args, get_type_hints

import pytest

from sse_middleware import EventSourceResponse, LegacyRoute, SSEMiddleware, event_stream
from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.presets.preset import Preset
from sse_middleware.settings import Policy, StreamOptions, StreamSettings
from sse_middleware.validation import UNSET, Unset

OR_NONE = ("ping_interval", "max_delay", "send_timeout", "max_duration", "idle_timeout")
OR_ZERO = ("commit_after", "cleanup_timeout", "finish_timeout", "drain_grace", "retry_after")


async def some_coroutine_function(*_: object) -> str:
    return ""


def some_function(*_: object) -> str:
    return ""


ALLOWED: dict[str, list[Any]] = {
    "preset": [None, Preset()],
    **{name: [0.001, 1, 1e9, None] for name in OR_NONE},
    **{name: [0, 0.0, 0.001, 1, 1e9] for name in OR_ZERO},
    "ping": ["", "ping", "two\nlines", ServerSentEvent(event="ping"), some_function],
    "max_buffer": [1, 10**12],
    "max_event_size": [1, 10**12, None],
    "farewell": [None, some_function],
    "refusal": ["status", "retry"],
    "compression": [True, False, [], ["gzip"], ("gzip",)],
    "serializer": [None, some_function],
    "error_event": [None, some_function],
    "complete_after_error": [True, False],
    "ping_blank_line": [True, False],
    "on_disconnect": ["cancel", "finish"],
}
REFUSED: dict[str, list[Any]] = {
    "preset": [5, "openai", True, Preset, {"last": None}],
    **{
        name: [-1, -0.001, math.nan, math.inf, -math.inf, True, False, "5", b"5", Decimal(5), [5]]
        for name in OR_NONE + OR_ZERO
    },
    "complete_after_error": [None, 0, 1, "yes", [], some_function],
    "ping_blank_line": [None, 0, 1, "no", [], some_function],
    "ping": [None, 5, b"ping", True, ["ping"], "\ud800", some_coroutine_function],
    "max_buffer": [0, -1, 1.0, 1e9, math.inf, True, None, "64"],
    "max_event_size": [0, -1, 1.0, 1e9, math.inf, True, "64"],
    "farewell": [5, "bye", True, ServerSentEvent(event="bye"), some_coroutine_function],
    "refusal": [None, 503, "STATUS", "", ["status"]],
    "compression": [None, 1, "gzip", ["deflate"], [5], {"gzip": 1}],
    "serializer": [5, "json", b"", True, {}],
    "on_disconnect": [None, True, "detach", ["finish"]],
    "error_event": [5, "error", True, ServerSentEvent(event="error"), some_coroutine_function],
}
for one in OR_NONE:
    REFUSED[one] += [0, 0.0, -0.0, 10**400]
for one in OR_ZERO:
    REFUSED[one] += [None, 10**400]
ALLOWED["ping_interval"].append(UNSET)
for one in ("ping", "ping_blank_line", "on_disconnect", "error_event", "farewell"):
    ALLOWED[one].append(UNSET)


def pairs(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(name, value, id=f"{name}={value!r}".split(" at 0x")[0][:60])
        for name, values in table.items()
        for value in values
    ]


def test_the_tables_cover_every_setting() -> None:
    names = [field.name for field in fields(StreamSettings) if field.init]
    assert sorted(ALLOWED) == sorted(REFUSED) == sorted(names)


@pytest.mark.parametrize(("name", "value"), pairs(ALLOWED))
def test_a_valid_value_is_kept_as_it_is(name: str, value: Any) -> None:
    options: Any = {name: value}
    assert getattr(StreamSettings(**options), name) is value
    assert getattr(StreamSettings.of(options), name) is value
    assert getattr(StreamSettings().overridden(options), name) is value


@pytest.mark.parametrize(("name", "value"), pairs(REFUSED))
def test_an_invalid_value_is_refused_by_name_and_value(name: str, value: Any) -> None:
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
        (
            "zzz",
            "known are preset, ping_interval, ping, on_disconnect, commit_after, max_delay, ",
        ),
    ],
)
def test_an_unknown_name_is_refused_with_a_hint(name: str, hint: str) -> None:
    options: Any = {"ping": "p", name: None}
    for make in (StreamSettings.of, StreamSettings().overridden):
        with pytest.raises(ConfigurationError) as caught:
            make(options)
        assert str(caught.value).startswith(f"unknown setting {name!r}: {hint}")


@pytest.mark.parametrize(
    "make",
    [
        partial(SSEMiddleware, EventSourceResponse([])),
        SSEMiddleware.checked,
        partial(EventSourceResponse, []),
        partial(LegacyRoute, "/"),
        event_stream,
    ],
)
def test_whatever_takes_settings_checks_them_at_once(make: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"'ping_intervall'.*'ping_interval'"):
        make(ping_intervall=5)
    with pytest.raises(ConfigurationError, match=r"ping_interval .* 0"):
        make(ping_interval=0)


@pytest.mark.parametrize("name", ["max_streams", "drain", "client_key", "legacy", "openapi"])
def test_a_setting_of_the_application_is_sent_there(name: str) -> None:
    message = f"unknown setting {name!r}: .*only SSEMiddleware takes it"
    options: Any = {name: 5}
    for make in (event_stream, partial(EventSourceResponse, []), partial(LegacyRoute, "/")):
        with pytest.raises(ConfigurationError, match=message):
            make(**options)


@pytest.mark.parametrize("name", ["headers", "status_code", "item_type", "background"])
def test_a_setting_of_a_response_is_sent_there(name: str) -> None:
    options: Any = {name: None}
    message = f"unknown setting {name!r}: .*event_stream or EventSourceResponse takes it"
    with pytest.raises(ConfigurationError, match=message):
        SSEMiddleware(EventSourceResponse([]), **options)


@pytest.mark.parametrize("make", [event_stream, Preset, partial(LegacyRoute, "/")])
@pytest.mark.parametrize(
    ("ping", "hint"), [(15, "ping_interval"), (0.5, "ping_interval"), (b"x", "text, not bytes")]
)
def test_a_ping_that_is_none_is_told_what_it_may_be(make: Any, ping: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(ping=ping)
    assert str(caught.value).startswith("ping must be a comment's text")
    assert hint in str(caught.value)
    assert str(caught.value).endswith(f", got {ping!r}")


def test_the_defaults() -> None:
    settings = StreamSettings()
    assert settings == StreamSettings.of({}) == settings.overridden({})
    assert settings.ping_interval is UNSET  # so that it is looked up when a stream starts
    assert settings.ping is settings.error_event is UNSET  # a preset may set them
    assert settings.serializer is None
    assert "ping_interval=UNSET" in repr(settings)


def test_an_override_replaces_only_its_names() -> None:
    app = StreamSettings.of({"ping_interval": 5, "ping": "app", "max_buffer": 10})
    route = app.overridden({"ping": "route", "commit_after": 0})
    response = route.overridden({"ping_interval": None})
    assert response == StreamSettings(
        ping_interval=None, ping="route", max_buffer=10, commit_after=0
    )


def test_an_override_may_return_to_the_default() -> None:
    options: Any = {"ping_interval": UNSET}
    assert StreamSettings(ping_interval=5).overridden(options) == StreamSettings()


def test_arguments_are_never_changed() -> None:
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
    # UNSET means that a keyword argument isn't given, so it can't be given.
    for name in (
        *("ping_interval", "ping", "ping_blank_line"),
        *("on_disconnect", "farewell"),
        "error_event",
    ):
        given = [one for one in get_args(settings[name]) if one != Literal[Unset.UNSET]]
        settings[name] = reduce(or_, given)
    del settings["codecs"]
    assert options == settings
    assert StreamOptions.__required_keys__ == frozenset()


# The policy of an application


class Asynchronous:
    """Looks like a function, and has to be awaited."""

    async def __call__(self, _: object) -> None:
        """Do nothing."""


NO_FUNCTIONS: list[Any] = [
    *(None, 5, "key", b"", True, [], some_coroutine_function, Asynchronous()),
]
POLICY_ALLOWED: dict[str, list[Any]] = {
    "drain": [True, False],
    "drain_spread": [0, 3600.0],
    "max_streams": [None, 1],
    "max_streams_per_client": [None, 1],
    "client_key": [some_function],
    "observers": [(), [some_function], (some_function, [].append)],
}
POLICY_REFUSED: dict[str, list[Any]] = {
    "drain": [None, 0, 1, "yes", "", []],
    "drain_spread": [-1, -0.1, math.nan, math.inf, True, "5", None, 10**400],
    "max_streams": [0, -1, 1.0, True, False, "5", math.inf, [5]],
    "max_streams_per_client": [0, -1, 1.0, True, False, "5", math.inf, [5]],
    "client_key": NO_FUNCTIONS,
    "observers": [
        *(None, 5, "abc", b"abc", print, some_function, {"a": print}, {print}),
        *([some_function, one] for one in NO_FUNCTIONS),
        *((one,) for one in NO_FUNCTIONS),
    ],
}


@pytest.mark.parametrize(("name", "value"), pairs(POLICY_ALLOWED))
def test_a_valid_value_of_the_policy_is_accepted(name: str, value: Any) -> None:
    SSEMiddleware(EventSourceResponse([]), **{name: value})


@pytest.mark.parametrize(("name", "value"), pairs(POLICY_REFUSED))
def test_an_invalid_value_of_the_policy_is_refused_by_name_and_value(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SSEMiddleware(EventSourceResponse([]), **{name: value})
    assert str(caught.value).startswith(f"{name} must ")
    assert repr(value) in str(caught.value)


def test_a_list_of_observers_may_change_afterwards() -> None:
    observers: list[Any] = [some_function]
    policy = Policy(observers=observers)
    observers.clear()
    assert policy.observers == (some_function,)
