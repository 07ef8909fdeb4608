"""What a client accepts: weights of media ranges and codings (RFC 9110, 12.4.2 and 12.5)."""

import re
from collections.abc import Iterable, Sequence

EVENT_STREAM = b"text/event-stream"


_QVALUE = re.compile(rb"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def accept_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return a request's whole ``Accept``, ``None`` if it has none.

    Args:
        headers: of an ASGI scope, with names in lower case.
    """
    return _joined(headers, b"accept")


def quality(accept: bytes, media_type: bytes) -> float:
    """Return how much a media type is wanted: from 0.0, not at all, to 1.0.

    The most specific range counts: ``text/csv`` over ``text/*`` over ``*/*``. Parameters of ranges
    other than ``q`` are ignored, and a range whose ``q`` is none counts as 1.

    Args:
        accept: the value of ``Accept``.
        media_type: without parameters, in lower case.
    """
    wanted = _weights(accept)
    for media_range in (media_type, media_type.partition(b"/")[0] + b"/*", b"*/*"):
        if media_range in wanted:
            return wanted[media_range]
    return 0.0


def accepts_events(accept: str | None) -> bool:
    """Whether a client takes an event stream, by the ``Accept`` of its request.

    For an endpoint that can answer by one document as well. No ``Accept`` takes everything.
    """
    return accept is None or quality(accept.encode(), EVENT_STREAM) > 0


def names_events(accept: bytes) -> bool:
    """Whether an event stream is asked for by its name."""
    return EVENT_STREAM in accept.lower()


def prefers_events(accept: bytes, media_type: bytes) -> bool:
    """Whether an event stream is wanted, by its name, and wanted more than `media_type`."""
    return names_events(accept) and quality(accept, EVENT_STREAM) > quality(accept, media_type)


def preferred_coding(headers: Iterable[tuple[bytes, bytes]], offered: Sequence[str]) -> str | None:
    """Return which of the offered codings the client wants most; ``None`` if it wants none.

    Of those that it wants equally the first one is taken (RFC 9110, 12.5.3).

    Args:
        headers: of an ASGI scope, with names in lower case.
        offered: names in lower case, the best first.
    """
    wanted = _weights(_joined(headers, b"accept-encoding") or b"")
    weights = {name: wanted.get(name.encode(), wanted.get(b"*", 0.0)) for name in offered}
    best = max(weights, key=weights.__getitem__, default=None)
    if best is None or weights[best] <= 0 or weights[best] < wanted.get(b"identity", 0.0):
        return None
    return best


def last_event_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the ``Last-Event-ID`` of a request, or an empty string (WHATWG HTML, 9.2.4).

    Args:
        headers: of an ASGI scope, with names in lower case.
    """
    return dict(headers).get(b"last-event-id", b"").decode(errors="replace")


def _joined(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    found = None
    for name, value in headers:
        if name == wanted:
            found = value if found is None else b"%b,%b" % (found, value)
    return found


def _weights(header: bytes) -> dict[bytes, float]:
    """Return the weight of each of a header's members, by its name in lower case."""
    weights: dict[bytes, float] = {}
    for member in header.split(b","):
        name, *parameters = member.split(b";")
        weights.setdefault(name.strip().lower(), _q(parameters))
    return weights


def _q(parameters: list[bytes]) -> float:
    for parameter in parameters:
        matched = _QVALUE.fullmatch(parameter)
        if matched:
            return float(matched[1])
    return 1.0
