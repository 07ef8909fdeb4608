"""What is measured of hubs that several processes share: tables, no code."""

from dataclasses import dataclass

MEMORY = "memory"
SQLITE = "SQLite"
REDIS = "Redis"
REDIS_AOF = "Redis, append-only file"

SHARED = (SQLITE, REDIS)
"""What several workers can share. An append-only file changes only what a publish costs."""

ONE_BY_ONE = "one by one"
CONCURRENT = "50 at a time"
BATCHED = "batches of 50"

BATCH = 50
"""Publishes that wait at the same time, and events of a batch."""

LEAST_REPLAYED = 100_000.0
"""Events per second that a store in Redis must replay at least."""

LEAST_PACED = 100
"""Paced events of a round, however long that takes: one of them is the slowest hundredth."""


@dataclass(frozen=True, slots=True)
class WorkersSize:
    """How much is measured."""

    publish_rounds: int
    publish_seconds: float
    """How long each way to publish is measured in each round."""
    concurrency: tuple[int, ...]
    """How many publishes wait at the same time."""
    replays: int
    replayed_events: int
    delay_rounds: int
    rates: tuple[float, ...]
    """Events per second, one rate after the other."""
    rate_seconds: float
    """How long each rate is measured in each round, at least."""
    least_paced: int
    fan_out_rounds: int
    workers: tuple[int, ...]
    clients: int
    """How many there are in all."""
    paced_rate: float
    """Events per second that are published one by one."""
    paced_seconds: float
    burst: int
    """Events that are published in a row."""
    bursts: int
    published_by_each: int
    """Events that each worker publishes at the same time as the others."""


FULL = WorkersSize(
    publish_rounds=5,
    publish_seconds=0.4,
    concurrency=(1, 2, 5, 10, 20, BATCH, 100, 200),
    replays=9,
    replayed_events=10_000,
    delay_rounds=3,
    rates=(20, 50, 100, 200, 500, 1_000),
    rate_seconds=2.0,
    least_paced=LEAST_PACED,
    fan_out_rounds=3,
    workers=(1, 2, 3, 4),
    clients=1_000,
    paced_rate=20,
    paced_seconds=1.5,
    burst=50,
    bursts=3,
    published_by_each=2_000,
)
QUICK = WorkersSize(
    publish_rounds=1,
    publish_seconds=0.02,
    concurrency=(1, BATCH),
    replays=1,
    replayed_events=500,
    delay_rounds=1,
    rates=(200,),
    rate_seconds=0.05,
    least_paced=10,
    fan_out_rounds=1,
    workers=(1, 2),
    clients=20,
    paced_rate=200,
    paced_seconds=0.1,
    burst=5,
    bursts=1,
    published_by_each=10,
)
