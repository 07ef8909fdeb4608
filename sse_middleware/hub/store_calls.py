"""`answered`: what a store answers, if it answers in time."""

from collections.abc import Awaitable
from typing import TypeVar

from anyio import fail_after

from sse_middleware.errors import StoreError

STORE_TIMEOUT = 5.0
"""Seconds that a store has for an answer."""

AnswerT = TypeVar("AnswerT")


async def answered(call: Awaitable[AnswerT]) -> AnswerT:
    """Return what a store answers.

    Raises:
        StoreError: it gave no answer in `STORE_TIMEOUT` seconds. What it was to do may be done.
        Exception: what the store raises.
    """
    try:
        with fail_after(STORE_TIMEOUT):
            return await call
    except TimeoutError as error:
        raise StoreError(f"the store gave no answer in {STORE_TIMEOUT:g} s") from error
