"""The events of Datastar: patches for a page's elements and for its signals.

Rules of this file:
- The data of an event consists of lines, each with a key and a value. If a value has several lines,
  each of them begins with the key.
- Default values are not sent, as in Datastar's own SDKs.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from sse_middleware.events import ServerSentEvent
from sse_middleware.wire.encoding import check_single_line, split_lines, to_utf8
from sse_middleware.wire.json_text import to_json

Mode = Literal["outer", "inner", "replace", "prepend", "append", "before", "after", "remove"]
"""How a patch changes the elements that it finds."""

Namespace = Literal["html", "svg", "mathml"]
"""The language of the elements."""


def patch_elements(
    elements: Any = "",
    *,
    selector: str | None = None,
    mode: Mode = "outer",
    namespace: Namespace = "html",
    use_view_transition: bool = False,
    id: str | None = None,
) -> ServerSentEvent:
    """Make the event that patches elements of the page.

    Args:
        elements: HTML, or an object with ``__html__``. Without a `selector`, each element replaces
            the element with the same ``id``.
        selector: a CSS selector of the elements to patch.
        mode: how the elements change.
        namespace: the language of the elements.
        use_view_transition: whether the browser shows the change as a view transition.
        id: the event's id.

    Raises:
        ValueError: for an unknown mode or namespace, or neither elements nor a selector.
        FieldError: for a `selector` of more than one line.
    """
    html = html_of(elements)
    if html is None or not (html or selector):
        raise ValueError(f"elements must be HTML, or be empty with a selector, got {elements!r}")
    lines = []
    if _one_of("mode", mode, get_args(Mode)) != "outer":
        lines.append(f"mode {mode}")
    if selector is not None:
        lines.append(f"selector {check_single_line('selector', selector)}")
    if use_view_transition:
        lines.append("useViewTransition true")
    if _one_of("namespace", namespace, get_args(Namespace)) != "html":
        lines.append(f"namespace {namespace}")
    if html:
        lines += _keyed_lines("elements", to_utf8("elements", html))
    return _event("datastar-patch-elements", lines, id)


def patch_signals(
    signals: Any, *, only_if_missing: bool = False, id: str | None = None
) -> ServerSentEvent:
    """Make the event that sets signals of the page.

    Args:
        signals: a mapping from names to values, in which ``None`` removes a signal; or a model.
        only_if_missing: whether existing signals keep their values.
        id: the event's id.

    Raises:
        ValueError: `signals` is not a JSON object.
    """
    json = to_json(signals, by_alias=True)
    if not json.startswith(b"{"):
        raise ValueError(f"signals must be a JSON object, got {signals!r}")
    lines = ["onlyIfMissing true"] if only_if_missing else []
    return _event("datastar-patch-signals", [*lines, *_keyed_lines("signals", json)], id)


def to_patch(item: Any) -> ServerSentEvent:
    """Patch elements with HTML, and signals with everything else."""
    return patch_signals(item) if html_of(item) is None else patch_elements(item)


def html_of(item: Any) -> str | None:
    """Return the HTML of a string or of an object with ``__html__``, ``None`` for other items."""
    if hasattr(item, "__html__"):
        return str(item.__html__())
    return item if isinstance(item, str) else None


def _one_of(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def _keyed_lines(key: str, text: bytes) -> list[str]:
    return [f"{key} {line.decode()}" for line in split_lines(text)]


def _event(name: str, lines: list[str], id_: str | None) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data="\n".join(lines), id=id_)
