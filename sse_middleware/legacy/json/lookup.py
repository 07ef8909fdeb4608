"""`lookup`: reads one value out of a large JSON text, in steps, without parsing the rest."""

from collections.abc import Generator, Sequence
from typing import Any

from pydantic_core import from_json

from sse_middleware.legacy.json.grammar import ELEMENT
from sse_middleware.legacy.json.scanner import SCAN_STEP, JSONScanner, skip_blanks

Key = int | str
Steps = Generator[None, None, int]
"""Pauses, and returns a place in the text."""

_MEMBERS = 256
"""Members of an array or object between two pauses, if they take less than a `SCAN_STEP`."""


def lookup(text: bytes, path: Sequence[Key]) -> Generator[None, None, Any]:
    """Return what ``from_json(text)[path[0]][path[1]]...`` is, if it is text or a number.

    Args:
        text: valid JSON.
        path: the keys and indexes.

    Raises:
        LookupError: there is no such value.
        TypeError: a key is used for an array, or the value is an array or object.
    """
    begin = skip_blanks(text, 0)
    for used, key in enumerate(path):
        if text[begin] not in b"[{":
            return _in_scalar((yield from _scalar(text, begin)), path[used:])
        begin = yield from _member(text, begin, key)
    if text[begin] in b"[{":
        raise TypeError("it is an array or object")
    return (yield from _scalar(text, begin))


def _in_scalar(value: Any, path: Sequence[Key]) -> Any:
    for key in path:
        value = value[key]
    return value


def _scalar(text: bytes, begin: int) -> Generator[None, None, Any]:
    end = yield from _end(text, begin)
    return from_json(text[begin:end])


def _member(text: bytes, begin: int, key: Key) -> Steps:
    """Return where the value of a key or index begins. Of equal keys the last one counts."""
    is_object = text[begin : begin + 1] == b"{"
    if isinstance(key, str) and not is_object:
        raise TypeError(f"an array has no key {key!r}")
    found = None
    at, index = skip_blanks(text, begin + 1), 0
    pause_at = at + SCAN_STEP
    while text[at] not in b"]}":
        name: Key = index
        if is_object:
            end = yield from _end(text, at)
            name = from_json(text[at:end])
            at = skip_blanks(text, skip_blanks(text, end) + 1)
        if name == key and isinstance(name, str) == isinstance(key, str):
            found = at
        at = skip_blanks(text, (yield from _end(text, at)))
        at = skip_blanks(text, at + (text[at : at + 1] == b","))
        index += 1
        if index % _MEMBERS == 0 or at >= pause_at:
            pause_at = at + SCAN_STEP
            yield
    if found is None:
        raise LookupError(f"there is no {key!r}")
    return found


def _end(text: bytes, begin: int) -> Steps:
    """Return where the value ends that begins here."""
    short = ELEMENT.match(text, begin, begin + SCAN_STEP)
    if short is not None:
        return short.end(1)
    scanner = JSONScanner(begin, alone=False)
    yield from scanner.steps(text, len(text))
    scanner.finish(text)
    return scanner.at
