"""The events of Datastar: patches of a page's elements and of its signals.

Rules of this file:
- The data of an event are lines of a key and a value; where a value has more lines, its key stands
  before each of them.
- What is Datastar's default is left out, as its own servers do.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from pydantic_core import to_json

from sse_middleware.events import ServerSentEvent
from sse_middleware.wire.encoding import check_single_line, split_lines, to_utf8

Mode = Literal["outer", "inner", "replace", "prepend", "append", "before", "after", "remove"]
"""What becomes of the elements that a patch finds."""


Namespace = Literal["html", "svg", "mathml"]
"""Of what language the elements are."""


def patch_elements(
    elements: Any = "",
    *,
    selector: str | None = None,
    mode: Mode = "outer",
    namespace: Namespace = "html",
    use_view_transition: bool = False,
    id: str | None = None,
) -> ServerSentEvent:
    """Make the event that puts elements into the page.

    Args:
        elements: HTML, or what has ``__html__``. Without a `selector` each element replaces the one
            with its ``id``.
        selector: of CSS: what is patched.
        mode: how.
        namespace: of the elements.
        use_view_transition: whether the browser shows the change as a transition.
        id: of the event.

    Raises:
        ValueError: an unknown mode or namespace, or neither elements nor a selector.
        FieldError: a `selector` of more than one line.
    """
    html = html_of(elements)
    if html is None or not (html or selector):
        raise ValueError(f"elements must be HTML or be left to a selector, got {elements!r}")
    lines = []
    if _known("mode", mode, get_args(Mode)) != "outer":
        lines.append(f"mode {mode}")
    if selector is not None:
        lines.append(f"selector {check_single_line('selector', selector)}")
    if use_view_transition:
        lines.append("useViewTransition true")
    if _known("namespace", namespace, get_args(Namespace)) != "html":
        lines.append(f"namespace {namespace}")
    if html:
        lines += _keyed("elements", to_utf8("elements", html))
    return _event("datastar-patch-elements", lines, id)


def patch_signals(
    signals: Any, *, only_if_missing: bool = False, id: str | None = None
) -> ServerSentEvent:
    """Make the event that sets signals of the page.

    Args:
        signals: from names to values; a value of ``None`` removes the signal. Or a model.
        only_if_missing: whether signals that are there stay as they are.
        id: of the event.

    Raises:
        ValueError: `signals` is no object in JSON.
    """
    json = to_json(signals, by_alias=True, inf_nan_mode="null")
    if not json.startswith(b"{"):
        raise ValueError(f"signals must be an object in JSON, got {signals!r}")
    lines = ["onlyIfMissing true"] if only_if_missing else []
    return _event("datastar-patch-signals", [*lines, *_keyed("signals", json)], id)


def to_patch(item: Any) -> ServerSentEvent:
    """Patch elements by HTML, signals by everything else."""
    return patch_signals(item) if html_of(item) is None else patch_elements(item)


def html_of(item: Any) -> str | None:
    """Return the HTML that an item is: a string, or what has ``__html__``; or ``None``."""
    if hasattr(item, "__html__"):
        return str(item.__html__())
    return item if isinstance(item, str) else None


def _known(name: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


def _keyed(key: str, text: bytes) -> list[str]:
    return [f"{key} {line.decode()}" for line in split_lines(text)]


def _event(name: str, lines: list[str], id_: str | None) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data="\n".join(lines), id=id_)
