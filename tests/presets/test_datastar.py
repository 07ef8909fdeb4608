"""The lines of Datastar's patches."""

from collections.abc import Mapping
from typing import Any

import pytest

from sse_middleware import FieldError, ServerSentEvent
from sse_middleware.presets.datastar import patch_elements, patch_signals


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (patch_elements("<p>\r\n1\r2"), "elements <p>\nelements 1\nelements 2"),
        (patch_elements(selector="#a", mode="remove"), "mode remove\nselector #a"),
        (
            patch_elements("<a/>", mode="inner", use_view_transition=True, namespace="svg"),
            "mode inner\nuseViewTransition true\nnamespace svg\nelements <a/>",
        ),
        (patch_elements("<p>a\u2028b"), "elements <p>a\u2028b"),
        (patch_signals({"a": None}), 'signals {"a":null}'),
        (patch_signals({}, only_if_missing=True), "onlyIfMissing true\nsignals {}"),
    ],
)
def test_a_patch_has_these_lines(event: ServerSentEvent, data: str) -> None:
    assert event.raw_data == data
    assert event.id is None
    assert patch_signals({}, id="1").id == patch_elements("a", id="1").id == "1"


@pytest.mark.parametrize(
    "options",
    [{"elements": 5}, {}, {"elements": "a", "mode": "morph"}, {"elements": "a", "namespace": "x"}],
)
def test_an_invalid_patch_is_refused(options: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        patch_elements(**options)


def test_a_selector_of_two_lines_is_refused() -> None:
    with pytest.raises(FieldError, match="selector"):
        patch_elements("a", selector="#a\nelements <script>")
