"""What a response may stream, and what is said about anything else."""

from collections.abc import AsyncIterable, Iterable, Mapping
from functools import partial
from inspect import isawaitable, isroutine
from types import AsyncGeneratorType
from typing import Any, NoReturn

from pydantic import BaseModel

_SHORT = 100
"""Characters of a value in a message."""

WHOLE = (str, bytes, bytearray, memoryview, Mapping, BaseModel)
"""What is one item, although it can be iterated."""

WRONG_CONTENT = "content must be an iterable of items"
"""How the error about a wrong content begins."""


_ADVICE = (
    "a subscription or a run can't be iterated, because a stream takes its events by position: "
    "return EventSourceResponse(hub.subscribe(...)), or EventSourceResponse(await "
    "hub.resumable(...)), and filter with where="
)


class NotIterable:
    """What a response streams by other means. FastAPI iterates over what is no response.

    Raises:
        TypeError: with advice, if it is iterated.
    """

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise TypeError(_ADVICE)

    def __aiter__(self) -> NoReturn:
        raise TypeError(_ADVICE)


def checked_content(content: Any) -> Any:
    """Return a content that yields items. Raises TypeError for any other."""
    if isinstance(content, AsyncGeneratorType):  # the usual case
        return content
    if (advice := advice_about(content)) is not None:
        raise TypeError(f"{WRONG_CONTENT}, got {short(content)}: {advice}")
    return content


def advice_about(content: Any) -> str | None:
    """Return advice if a content doesn't yield items, ``None`` if it does."""
    if isinstance(content, WHOLE):
        return "it would be sent in parts, so yield it, or put it in a list"
    if isinstance(content, AsyncIterable | NotIterable):
        return None
    if isawaitable(content):
        return "it must be awaited first"
    return None if isinstance(content, Iterable) else _advice_about_single(content)


def _advice_about_single(content: Any) -> str:
    """Return advice for a content that can't be iterated."""
    if content is None:
        return "there is nothing to stream"
    if isroutine(content) or isinstance(content, type | partial):
        return "it must be called"
    return "it can't be iterated, so yield it, or put it in a list"


def short(value: object) -> str:
    """Return a representation that fits into a message."""
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def origin_of(endpoint: Any, content: Any) -> str:
    """Return the name of what yields items, for error messages.

    Args:
        endpoint: what the scope names, ``None`` without one.
        content: what is streamed.
    """
    origin = endpoint or content
    if not hasattr(origin, "__qualname__"):
        origin = type(origin)
    return ".".join(filter(None, (getattr(origin, "__module__", None), origin.__qualname__)))
