"""What a run is made from, and the names that belong to it."""

from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import Context
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from sse_middleware.hub.keep import Keep
from sse_middleware.items.item_type import ItemType
from sse_middleware.settings import StreamSettings

LEASE = 10.0
"""Seconds for which a run is held without a word from its producer."""

TTL = 600.0
"""Seconds that a run is kept after its end."""

MAX_BYTES = 16 * 1024 * 1024
"""Bytes of a run's events."""

_EVERYTHING = 2**31
"""More events than a run has."""

Factory = Callable[[], AsyncIterable[Any] | Iterable[Any]]
"""Makes the generator of a run."""


@dataclass(frozen=True, slots=True, eq=False)
class RunPlan:
    """How a run is produced."""

    topic: str
    factory: Factory
    settings: StreamSettings
    context: Context
    """The context variables of whoever asked for it."""
    item_type: ItemType | None = None
    restart: bool = False
    ttl: float = TTL
    max_bytes: int = MAX_BYTES
    unwatched_limit: float | None = None


def new_token(ttl: float) -> str:
    """Return a token for a run. Whoever aborts the run reads from it how long the run is kept."""
    return f"{token_hex(8)} {float(ttl)!r}"


def kept_while_running(ttl: float) -> Keep:
    """Return what the topic of a run keeps: everything, also if its producer is gone."""
    return Keep(_EVERYTHING, ttl + LEASE)


def kept_after_end(ttl: float) -> Keep:
    """Return what the topic of a run keeps once the run has ended."""
    return Keep(_EVERYTHING, ttl)


def ttl_of(token: str) -> float:
    """Return how long a run is kept after its end."""
    return float(token.partition(" ")[2] or TTL)
