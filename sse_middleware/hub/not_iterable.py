"""`NotIterable`: raises an error that says how to use a subscription, if it is iterated.

FastAPI iterates over what an endpoint returns that is no response.
"""

from typing import NoReturn

_ADVICE = (
    "a subscription can't be iterated, because a stream takes its events by position: return "
    "EventSourceResponse(hub.subscribe(...)), and filter with where="
)


class NotIterable:
    """Raises TypeError with advice."""

    __slots__ = ()

    def __iter__(self) -> NoReturn:
        raise TypeError(_ADVICE)

    def __aiter__(self) -> NoReturn:
        raise TypeError(_ADVICE)
