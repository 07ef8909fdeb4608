"""Reads ``Accept``, ``Accept-Encoding`` (RFC 9110, 12.4.2 and 12.5) and ``Last-Event-ID``."""

import re
from collections.abc import Iterable, Sequence

EVENT_STREAM = b"text/event-stream"

_QVALUE = re.compile(rb"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def accept_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return a request's ``Accept`` with all its lines joined, ``None`` if it has none.

    Args:
        headers: of an ASGI scope, with names in lower case.
    """
    return _joined_values(headers, b"accept")


def quality(accept: bytes, media_type: bytes) -> float:
    """Return how much a client wants a media type: from 0.0 (not at all) to 1.0.

    The most specific range counts: ``text/csv`` before ``text/*`` before ``*/*``. Parameters other
    than ``q`` are ignored. A missing or invalid ``q`` counts as 1.

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
    """Whether a client accepts an event stream, by the ``Accept`` of its request.

    Use it in an endpoint that can also answer with one document. A request without ``Accept``
    accepts everything.
    """
    return accept is None or quality(accept.encode(), EVENT_STREAM) > 0


def names_events(accept: bytes) -> bool:
    """Whether ``Accept`` names ``text/event-stream``."""
    return EVENT_STREAM in accept.lower()


def prefers_events(accept: bytes, media_type: bytes) -> bool:
    """Whether ``Accept`` names ``text/event-stream`` and prefers it to `media_type`."""
    return names_events(accept) and quality(accept, EVENT_STREAM) > quality(accept, media_type)


def preferred_coding(headers: Iterable[tuple[bytes, bytes]], offered: Sequence[str]) -> str | None:
    """Return the offered coding that the client wants most, ``None`` if it wants none.

    The first one wins among codings that the client wants equally (RFC 9110, 12.5.3).

    Args:
        headers: of an ASGI scope, with names in lower case.
        offered: names in lower case, the preferred one first.
    """
    wanted = _weights(_joined_values(headers, b"accept-encoding") or b"")
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


def _joined_values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    found = None
    for name, value in headers:
        if name == wanted:
            found = value if found is None else b"%b,%b" % (found, value)
    return found


def _weights(header: bytes) -> dict[bytes, float]:
    """Return the weight of each member of a header, by the member's name in lower case."""
    weights: dict[bytes, float] = {}
    for member in header.split(b","):
        name, *parameters = member.split(b";")
        weights.setdefault(name.strip().lower(), _weight(parameters))
    return weights


def _weight(parameters: list[bytes]) -> float:
    for parameter in parameters:
        matched = _QVALUE.fullmatch(parameter)
        if matched:
            return float(matched[1])
    return 1.0
