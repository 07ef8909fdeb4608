"""Reads ``Accept``, ``Accept-Encoding`` (RFC 9110, 12.4.2 and 12.5) and ``Last-Event-ID``."""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qsl

EVENT_STREAM = b"text/event-stream"

LONGEST_HEADER = 4 * 1024
"""Bytes of ``Accept`` and of ``Accept-Encoding`` that count. No client sends more, and some servers
let a client send any number. Reading them takes a few milliseconds."""

_QVALUE = re.compile(rb"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def accept_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return a request's ``Accept`` with all its lines joined, ``None`` if it has none.

    Args:
        headers: the headers of an ASGI scope, with names in lower case.
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

    Use it in an endpoint that can also answer with one document.

    Args:
        accept: the value of the header. ``None`` is a request without one, which accepts
            everything.
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
        headers: the headers of an ASGI scope, with names in lower case.
        offered: names in lower case, the preferred one first.
    """
    wanted = _weights(_joined_values(headers, b"accept-encoding") or b"")
    weights = {name: wanted.get(name.encode(), wanted.get(b"*", 0.0)) for name in offered}
    best = max(weights, key=weights.__getitem__, default=None)
    if best is None or weights[best] <= 0 or weights[best] < wanted.get(b"identity", 0.0):
        return None
    return best


LONGEST_EVENT_ID = 8 * 1024
"""Bytes of an id that a client may send back. nginx and Apache refuse a longer header line by
default, so a longer id would not come back."""


def last_event_id(headers: Iterable[tuple[bytes, bytes]], query: bytes = b"") -> str:
    """Return the id of the last event that a client has received, or an empty string.

    It is the ``Last-Event-ID`` of the request, or else its query parameter ``last_event_id``. It is
    UTF-8, as browsers send it (WHATWG HTML, 9.2.4). What isn't UTF-8 is read as Latin-1, as
    ``fetch`` sends it. What no event can have sent counts as no id: one with a newline or NUL, and
    one that is longer than `LONGEST_EVENT_ID`.

    Args:
        headers: the headers of an ASGI scope, with names in lower case.
        query: the ``query_string`` of an ASGI scope.
    """
    sent = next((value for name, value in headers if name == b"last-event-id"), b"")
    return _event_id(sent) or _event_id(_parameter(query, "last_event_id"))


def _event_id(sent: bytes) -> str:
    if len(sent) > LONGEST_EVENT_ID or any(end in sent for end in (b"\n", b"\r", b"\0")):
        return ""
    try:
        return sent.decode()
    except UnicodeDecodeError:
        return sent.decode("latin-1")


def _parameter(query: bytes, wanted: str) -> bytes:
    """Return the first value of a query parameter."""
    fields = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    return next((value.encode("latin-1") for name, value in fields if name == wanted), b"")


def _joined_values(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """Return the values of a header as one. What comes after `LONGEST_HEADER` may be missing."""
    found = None
    for name, value in headers:
        if name == wanted and (found is None or len(found) < LONGEST_HEADER):
            found = value if found is None else b"%b,%b" % (found, value[:LONGEST_HEADER])
    return found


def _weights(header: bytes) -> dict[bytes, float]:
    """Return the weight of each member of a header, by the member's name in lower case."""
    weights: dict[bytes, float] = {}
    for member in header[:LONGEST_HEADER].split(b","):
        name, *parameters = member.split(b";")
        weights.setdefault(name.strip().lower(), _weight(parameters))
    return weights


def _weight(parameters: list[bytes]) -> float:
    for parameter in parameters:
        matched = _QVALUE.fullmatch(parameter)
        if matched:
            return float(matched[1])
    return 1.0
