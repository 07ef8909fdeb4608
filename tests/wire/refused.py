"""The values that the fields of an event refuse, however the event is written."""

from typing import Any

_LINES = ("a\nb", "a\rb", "a\r\nb", "a\0b", "\n", "b\n")

_NOT_STR = (5, b"x", True, ["x"], {"x": 1})

_NOT_A_RETRY = (-1, -(10**30), 1.5, 1.0, "5", b"5", True, False, [5])

REFUSED_FIELDS: list[tuple[str, Any]] = [
    *[(field, value) for field in ("event", "id") for value in _LINES + _NOT_STR],
    *[("comment", value) for value in _NOT_STR],
    *[("retry", value) for value in _NOT_A_RETRY],
]
"""Each with the name of its field. Every other field is left out."""
