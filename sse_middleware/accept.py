"""What a client accepts: quality values of media ranges (RFC 9110, 12.4.2 and 12.5.1)."""

import re
from collections.abc import Iterable

EVENT_STREAM = b"text/event-stream"

_QVALUE = re.compile(rb"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.IGNORECASE)


def accept_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return a request's whole ``Accept``, ``None`` if it has none.

    Args:
        headers: of an ASGI scope, with names in lower case.
    """
    accept = None
    for name, value in headers:
        if name == b"accept":
            accept = value if accept is None else b"%b,%b" % (accept, value)
    return accept


def quality(accept: bytes, media_type: bytes) -> float:
    """Return how much a media type is wanted: from 0.0, not at all, to 1.0.

    The most specific range counts: ``text/csv`` over ``text/*`` over ``*/*``. Parameters of ranges
    other than ``q`` are ignored, and a range whose ``q`` is none counts as 1.

    Args:
        accept: the value of ``Accept``.
        media_type: without parameters, in lower case.
    """
    kind = media_type.partition(b"/")[0]
    ranges = {b"*/*": 0, b"%b/*" % kind: 1, media_type: 2}
    best, found = -1, 0.0
    for one in accept.split(b","):
        name, *parameters = one.split(b";")
        rank = ranges.get(name.strip().lower(), -1)
        if rank > best:
            best, found = rank, _q(parameters)
    return found


def names_events(accept: bytes) -> bool:
    """Whether an event stream is asked for by its name."""
    return EVENT_STREAM in accept.lower()


def prefers_events(accept: bytes, media_type: bytes) -> bool:
    """Whether an event stream is wanted, by its name, and wanted more than `media_type`."""
    return names_events(accept) and quality(accept, EVENT_STREAM) > quality(accept, media_type)


def _q(parameters: list[bytes]) -> float:
    for parameter in parameters:
        matched = _QVALUE.fullmatch(parameter)
        if matched:
            return float(matched[1])
    return 1.0
