"""A template is made once for an endpoint whose streams are alike."""

import gc
from typing import Any
from weakref import ref

import pytest

from sse_middleware.items.stream_template import StreamTemplate, StreamTemplates
from sse_middleware.settings import StreamSettings

SETTINGS = StreamSettings()


class Route:
    """Keeps its endpoint, as a route of Starlette's does."""

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint


def made() -> StreamTemplate:
    return StreamTemplate(SETTINGS, None, "endpoint", {}, set())


def endpoint() -> None:
    """Be an endpoint."""


@pytest.mark.parametrize("route", [None, Route(endpoint)])
def test_the_streams_of_an_endpoint_share_it(route: Route | None) -> None:
    templates, template = StreamTemplates(), made()
    assert templates.latest(endpoint, route, (SETTINGS, None)) is None
    templates.keep(endpoint, route, (SETTINGS, None), template)
    assert templates.latest(endpoint, route, (SETTINGS, None)) is template


@pytest.mark.parametrize(
    ("route", "source"),
    [
        (True, (StreamSettings(max_buffer=1), None)),
        (True, (SETTINGS, "other")),
        (False, (SETTINGS, None)),
    ],
)
def test_what_is_made_from_something_else_is_not_shared(route: bool, source: Any) -> None:
    templates, known = StreamTemplates(), Route(endpoint)
    templates.keep(endpoint, known, (SETTINGS, None), made())
    for other in [known] if route else [Route(endpoint), None]:
        assert templates.latest(endpoint, other, source) is None


@pytest.mark.parametrize(("endpoint", "route"), [(None, None), ("text", None), (endpoint, "text")])
def test_what_has_no_weak_reference_shares_nothing(endpoint: Any, route: Any) -> None:
    templates = StreamTemplates()
    templates.keep(endpoint, route, (), made())
    assert templates.latest(endpoint, route, ()) is None


def test_it_ends_with_its_endpoint() -> None:
    def temporary() -> None:
        """Be an endpoint of a route that is added and removed."""

    templates, route = StreamTemplates(), Route(temporary)
    known = ref(temporary)
    templates.keep(temporary, route, (SETTINGS,), made())
    del temporary, route
    gc.collect()
    assert known() is None


def test_adopted_streams_of_the_same_settings_share_their_control_frames() -> None:
    templates = StreamTemplates()
    first = templates.control_of(SETTINGS)
    assert templates.control_of(SETTINGS) is first
    other = StreamSettings(ping="here")
    assert templates.control_of(other).settings is other
