"""`answered`: what a store answers, if it answers in time.

A limit of time costs as much as an append to memory. So it begins where a call first suspends.
"""

from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from anyio import fail_after

from sse_middleware.errors import StoreError

STORE_TIMEOUT = 5.0
"""Seconds that a store has for an answer."""

AnswerT = TypeVar("AnswerT")


@coroutine
def answered(call: Coroutine[Any, Any, AnswerT]) -> Generator[Any, Any, AnswerT]:
    """Return what a store answers.

    Raises:
        StoreError: it gave no answer in `STORE_TIMEOUT` seconds. What it was to do may be done.
        Exception: what the store raises.
    """
    try:
        waits_for = call.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # the store has not suspended
    return (yield from _in_time(call, waits_for).__await__())


async def _in_time(call: Coroutine[Any, Any, AnswerT], waits_for: Any) -> AnswerT:
    try:
        with fail_after(STORE_TIMEOUT):
            return await _rest_of(call, waits_for)
    except TimeoutError as error:
        raise StoreError(f"the store gave no answer in {STORE_TIMEOUT:g} s") from error


@coroutine
def _rest_of(call: Coroutine[Any, Any, AnswerT], waits_for: Any) -> Generator[Any, Any, AnswerT]:
    """Go on with a call that has suspended."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:
                waits_for = call.throw(error)
            else:
                waits_for = call.send(sent)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # as declared
