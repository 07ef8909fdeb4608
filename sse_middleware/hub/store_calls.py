"""`answered` and `retried`: what a store answers, if it answers in time."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio import current_time, fail_after, sleep

from sse_middleware.errors import ConfigurationError, HubError, PublishUnknownError, StoreError
from sse_middleware.hub.backoff import Backoff

logger = logging.getLogger(__name__)

STORE_TIMEOUT = 5.0
"""Seconds that a store has for an answer, and for which it may be away."""

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


async def retried(call: Callable[[], Awaitable[AnswerT]], since: float | None = None) -> AnswerT:
    """Return what a store answers to a call that may be made twice.

    While the store is away, the call is made again, for `STORE_TIMEOUT` seconds. A request that
    comes meanwhile waits. If it were refused, an ``EventSource`` would never come back.

    Args:
        call: asks the store.
        since: when the request began to wait, by the event loop's clock. ``None`` for now.

    Raises:
        Exception: the store is still away, or the call can't succeed later either.
    """
    backoff = Backoff()
    until = STORE_TIMEOUT + (current_time() if since is None else since)
    while True:
        began = current_time()
        try:
            return await answered(call())
        except Exception as error:
            if began >= until or _is_final(error):
                raise
            logger.debug("the store of a hub is asked again: %r", error)
        await sleep(max(0, min(backoff.next(), until - current_time())))


def _is_final(error: Exception) -> bool:
    """Whether another call would raise the same: the store isn't away."""
    is_away = isinstance(error, StoreError | PublishUnknownError)
    return isinstance(error, ConfigurationError | HubError) and not is_away
