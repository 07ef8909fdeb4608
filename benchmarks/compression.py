"""What compression saves and costs: no server, no sockets.

Rules of this file:
- Each event is compressed and flushed by itself, as in a stream whose events come one by one.
- Events differ as those of one stream do: the same fields, other values. The same event again and
  again would compress to nothing.
- The codecs take turns in rounds. The time is that of the fastest round, which nothing else
  disturbed.
- Memory is that of a process that holds many contexts: once with one event each, once with enough
  events to fill the largest window. Each of these runs in a fresh process, so that a context can't
  reuse memory that was allocated before.
"""

import os
import random
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from multiprocessing import get_context

from benchmarks.children import end_with
from benchmarks.plan import Size
from benchmarks.processes import resident_kib
from benchmarks.progress import say
from sse_middleware.wire.compression import CODECS, Codec

EVENT_SIZE = 78
"""Bytes of each event."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """What one codec saves and costs."""

    ratio: float
    """How many times longer the stream is without the codec."""
    microseconds: float
    """Time for each event."""
    first_kib: float | None
    """Memory of a context that has seen one event."""
    long_kib: float | None
    """Memory of a context whose window is full."""


def measure_compression(size: Size) -> dict[str, Compressed | None]:
    """Return what each codec saves and costs, or ``None`` if its package is missing."""
    events = list(islice(make_events(), size.compressed_events))
    codecs = {name: make for name, make in CODECS.items() if is_there(make)}
    say(f"compression: {', '.join(codecs)}")
    rounds = [
        {name: seconds_for(make(), events) for name, make in codecs.items()}
        for _ in range(size.rounds)
    ]
    first = in_fresh_processes(codecs, size.contexts, 1)
    long = in_fresh_processes(codecs, size.contexts, size.context_events)
    return {
        name: Compressed(
            ratio=ratio(codecs[name](), events),
            microseconds=min(one[name] for one in rounds) / len(events) * 1e6,
            first_kib=first[name],
            long_kib=long[name],
        )
        if name in codecs
        else None
        for name in CODECS
    }


def make_events() -> Iterator[bytes]:
    """Make events of one size. They are the same in each run."""
    values = random.Random(0)
    for number in range(10_000_000, 99_000_000):
        price, name = values.uniform(10, 99), values.randrange(1000, 9999)
        ok = "true" if number % 2 else "null"  # both have one length
        fields = f'"id": {number}, "name": "widget {name}", "price": {price:.5f}, "ok": {ok}'
        yield b"data: {%b}\n\n" % fields.encode()


def is_there(make: Callable[[], Codec]) -> bool:
    try:
        make()
    except ImportError:
        return False
    return True


def seconds_for(codec: Codec, events: list[bytes]) -> float:
    start = time.perf_counter()
    for event in events:
        codec.compress(event)
    return time.perf_counter() - start


def ratio(codec: Codec, events: list[bytes]) -> float:
    return sum(map(len, events)) / sum(len(codec.compress(event)) for event in events)


def in_fresh_processes(
    names: Collection[str], contexts: int, events: int
) -> dict[str, float | None]:
    """Return what `kib_per_context` returns in a process that has allocated nothing else."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(
        2,
        mp_context=spawn,
        max_tasks_per_child=1,
        initializer=end_with,
        initargs=(os.getpid(),),
    ) as pool:
        kib = pool.map(kib_per_context, names, repeat(contexts), repeat(events))
        return dict(zip(names, kib, strict=True))


def kib_per_context(name: str, contexts: int, count: int) -> float | None:
    """Return the KiB of a context that has compressed `count` events."""
    events = list(islice(make_events(), count))
    CODECS[name]().compress(events[0])  # loads what all contexts share
    before = resident_kib(os.getpid())
    held = [CODECS[name]() for _ in range(contexts)]
    for context in held:
        seconds_for(context, events)
    after = resident_kib(os.getpid())
    return None if before is None or after is None else (after - before) / contexts
