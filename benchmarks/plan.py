"""What runs, and which ratios are taken from it: tables, no code.

Each scenario runs with every contender that offers it, one after the other. Then the next scenario
runs. The numbers of events are such that each run takes about half a second. That is long compared
with the noise of the start, and short compared with the changes of a shared machine.
"""

from dataclasses import dataclass

from benchmarks import relaying_plan, runs_plan, workers_plan
from benchmarks.relaying_plan import RelaySize
from benchmarks.runs_plan import RunsSize
from benchmarks.servers import (
    BARE_PROTOCOL,
    BETTER_SSE,
    BETTER_SSE_CHANNEL,
    GRANIAN,
    HYPERCORN,
    UVICORN,
)
from benchmarks.workers_plan import WorkersSize

OURS = "`@event_stream`"
OURS_RESPONSE_CLASS = "`response_class=`"
OURS_READY = "ready-made `ServerSentEvent`"
OURS_ORJSON = "with `orjson.dumps`"
RAW = "raw bytes"
FASTAPI_SSE = "fastapi.sse"
SSE_STARLETTE = "sse-starlette"
BETTER = "better-sse (Node)"
ADOPTED = "with `SSEMiddleware`"
ALONE = "without it"
RAW_STARLETTE = "raw bytes, Starlette"
SSE_STARLETTE_STARLETTE = "sse-starlette, Starlette"
OURS_STARLETTE = "ours, Starlette"
FASTAPI_SSE_FASTAPI = "fastapi.sse, FastAPI"
OURS_FASTAPI = "ours, FastAPI"
RAW_FASTAPI = "raw bytes, FastAPI"
LOOP_STARLETTE = "hand-written loop, Starlette"
RAW_JSON = "raw with `json.dumps`, Starlette"
BARE = "bare ASGI application"
OURS_EVENTS_STARLETTE = "ours, `ServerSentEvent`, Starlette"
SSE_STARLETTE_EVENTS = "sse-starlette with `event`, Starlette"
OURS_EVENTS_FASTAPI = "ours, `ServerSentEvent`, FastAPI"
HUB = "the hub"
OURS_QUEUE = "ours, a queue per client"
SSE_STARLETTE_QUEUE = "sse-starlette, a queue per client"
RAW_QUEUE = "raw bytes, a queue per client"
BETTER_CHANNEL = "better-sse's channel (Node)"
PROTOCOL = "bare `asyncio.Protocol`"


@dataclass(frozen=True, slots=True)
class Load:
    """One stream that is measured."""

    scenario: str
    contender: str
    server: str
    path: str
    events: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as its peer ours must be. With ``None`` it is only printed."""

    scenario: str
    ours: str
    peer: str
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """The share of its peer's cost that ours may take. With ``None`` it is only printed."""

    ours: str
    peer: str
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """One stream that its client leaves, and how the client leaves it."""

    scenario: str
    way: str
    contender: str
    server: str
    path: str
    by: str = UVICORN
    """The server that runs it."""
    most: float | None = None
    """The most milliseconds that the median may be."""


@dataclass(frozen=True, slots=True)
class Churn:
    """Clients that come and go."""

    contender: str
    server: str
    connections: int
    """How many in each round."""


@dataclass(frozen=True, slots=True)
class TokenLoad:
    """Streams of small events, one every few milliseconds."""

    contender: str
    server: str
    path: str = "/tokens"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    divisor: int
    """The events and the connections of each load are divided by it."""
    idle_streams: tuple[int, ...]
    request_rounds: int
    import_rounds: int
    disconnects: int
    """How often clients leave each stream in each way."""
    leaves: tuple[Leave, ...]
    pinged_streams: int
    ping_period: float
    """Seconds between two keep-alives of a stream."""
    ping_rounds: int
    ping_seconds: float
    """How long keep-alives are counted in each round."""
    churn_rounds: int
    """Many short rounds: the machine's speed changes from one moment to the next."""
    token_rounds: int
    token_streams: int
    token_period: float
    """Seconds that a stream waits after each event."""
    token_seconds: float
    """How long each contender is measured in each round."""
    queue_rounds: int
    queue_streams: int
    queue_burst: int
    """Events that are put into each queue at once."""
    subscribers: tuple[int, ...]
    """To how many subscribers events are broadcast, one number after the other."""
    broadcast_rounds: int
    broadcast_rate: float
    """Events per second that are published one by one."""
    broadcast_seconds: float
    broadcast_burst: int
    """Events that are published at once."""
    broadcast_bursts: int
    """Bursts of a round, divided by the number of subscribers. There is one at least."""
    replays: int
    replayed_events: int
    """Kept events that a subscriber gets in one go."""
    left_streams: int
    """How many clients come and go before the tasks are counted."""
    compressed_events: int
    contexts: int
    """How many contexts of each codec there are when their memory is measured."""
    context_events: int
    """How many events of 78 bytes each of them has seen then. zstd's window is 512 KiB."""
    workers: WorkersSize
    runs: RunsSize
    relay: RelaySize
    budget: float = 120.0
    """Seconds after which no other round of loads begins."""
    broadcast_budget: float = 45.0
    """Seconds after which no other round begins for a number of subscribers."""


LOADS = (
    Load("burst", RAW, "raw", "/burst", 100_000),
    Load("burst", OURS, "ours", "/burst", 600_000),
    Load("burst", OURS_RESPONSE_CLASS, "ours", "/burst-response-class", 600_000),
    Load("burst", OURS_READY, "ours", "/burst-events", 250_000),
    Load("burst", OURS_ORJSON, "ours", "/burst-orjson", 500_000),
    Load("burst", SSE_STARLETTE, "sse_starlette", "/burst", 40_000),
    Load("burst", FASTAPI_SSE, "fastapi_sse", "/burst", 8_000),
    Load("burst", BETTER, BETTER_SSE, "/burst", 100_000),
    Load("paced", RAW, "raw", "/paced", 80_000),
    Load("paced", OURS, "ours", "/paced", 80_000),
    Load("paced", SSE_STARLETTE, "sse_starlette", "/paced", 30_000),
    Load("paced", FASTAPI_SSE, "fastapi_sse", "/paced", 8_000),
    Load("paced", BETTER, BETTER_SSE, "/paced", 60_000),
    Load("sync", OURS, "ours", "/sync", 400_000),
    Load("sync", FASTAPI_SSE, "fastapi_sse", "/sync", 3_000),
    Load("declared", OURS, "ours", "/declared", 300_000),
    Load("declared", FASTAPI_SSE, "fastapi_sse", "/declared", 12_000),
    Load("adopted events", ALONE, "legacy_alone", "/adopted", 80_000),
    Load("adopted events", ADOPTED, "legacy_adopted", "/adopted", 250_000),
    Load("converted lines", ALONE, "legacy_alone", "/lines", 80_000),
    Load("converted lines", ADOPTED, "legacy_adopted", "/lines", 80_000),
)

RATIOS = (
    Ratio("burst", OURS, FASTAPI_SSE, 60),
    Ratio("burst", OURS, SSE_STARLETTE, 18),
    Ratio("burst", OURS, RAW, 4),
    Ratio("burst", OURS, BETTER),
    Ratio("burst", OURS_RESPONSE_CLASS, FASTAPI_SSE, 6),
    Ratio("burst", OURS_READY, OURS, 0.42),
    Ratio("burst", OURS_ORJSON, OURS, 1.05),
    Ratio("paced", OURS, RAW, 0.75),
    Ratio("paced", OURS, SSE_STARLETTE, 2.2),
    Ratio("paced", OURS, FASTAPI_SSE, 5),
    Ratio("paced", OURS, BETTER),
    Ratio("sync", OURS, FASTAPI_SSE, 10),
    Ratio("declared", OURS, FASTAPI_SSE),
    Ratio("adopted events", ADOPTED, ALONE, 0.75),
    Ratio("converted lines", ADOPTED, ALONE, 0.5),
)

MOST_REQUEST_OVERHEAD = 3.0
"""Microseconds that the middleware may add to a request that is no stream."""

CONTENDERS = {
    RAW_STARLETTE: "raw",
    SSE_STARLETTE_STARLETTE: "sse_starlette",
    OURS_STARLETTE: "ours_starlette",
    FASTAPI_SSE_FASTAPI: "fastapi_sse",
    OURS_FASTAPI: "ours",
}
"""The server of each contender whose idle streams and churn are measured. FastAPI takes a share of
its own, so each library is compared with one under the same framework."""

MEMORY_CONTENDERS = {**CONTENDERS, RAW_FASTAPI: "raw_fastapi"}

PING_CONTENDERS = {**CONTENDERS, LOOP_STARLETTE: "loop_starlette"}

MEMORY_SHARES = (
    Share(OURS_STARLETTE, SSE_STARLETTE_STARLETTE, 0.7),
    Share(OURS_STARLETTE, RAW_STARLETTE, 1.07),
    Share(OURS_STARLETTE, FASTAPI_SSE_FASTAPI, 0.5),
    Share(OURS_FASTAPI, FASTAPI_SSE_FASTAPI),
    Share(OURS_FASTAPI, RAW_FASTAPI),
)

PING_SHARES = (
    Share(OURS_STARLETTE, SSE_STARLETTE_STARLETTE, 0.3),
    Share(LOOP_STARLETTE, SSE_STARLETTE_STARLETTE),
    Share(OURS_STARLETTE, LOOP_STARLETTE, 1.1),
    Share(OURS_STARLETTE, RAW_STARLETTE),
    Share(OURS_FASTAPI, FASTAPI_SSE_FASTAPI),
)

TOKEN_LOADS = (
    TokenLoad(RAW_STARLETTE, "raw", "/token-bytes"),
    TokenLoad(RAW_JSON, "raw"),
    TokenLoad(OURS_STARLETTE, "ours_starlette"),
    TokenLoad(SSE_STARLETTE_STARLETTE, "sse_starlette"),
    TokenLoad(OURS_EVENTS_STARLETTE, "ours_starlette", "/token-events"),
    TokenLoad(SSE_STARLETTE_EVENTS, "sse_starlette", "/token-events"),
    TokenLoad(BARE, "bare"),
    TokenLoad(OURS_FASTAPI, "ours"),
    TokenLoad(OURS_EVENTS_FASTAPI, "ours", "/token-events"),
    TokenLoad(FASTAPI_SSE_FASTAPI, "fastapi_sse"),
)

TOKEN_SHARES = (
    Share(OURS_STARLETTE, RAW_JSON, 1.35),
    Share(OURS_STARLETTE, RAW_STARLETTE),
    Share(OURS_STARLETTE, SSE_STARLETTE_STARLETTE, 0.85),
    Share(OURS_EVENTS_STARLETTE, RAW_JSON, 1.35),
    Share(OURS_EVENTS_STARLETTE, SSE_STARLETTE_EVENTS, 0.85),
    Share(OURS_STARLETTE, BARE),
    Share(OURS_FASTAPI, FASTAPI_SSE_FASTAPI),
)
"""Of CPU time for an event."""

QUEUE_CONTENDERS = {
    RAW_STARLETTE: "raw",
    OURS_STARLETTE: "ours_starlette",
    SSE_STARLETTE_STARLETTE: "sse_starlette",
}

QUEUE_SHARES = (
    Share(OURS_STARLETTE, SSE_STARLETTE_STARLETTE, 1.0),
    Share(OURS_STARLETTE, RAW_STARLETTE),
)
"""Of the time in which half of a burst's events have arrived."""

BROADCASTERS = {
    SSE_STARLETTE_QUEUE: "broadcast.sse_starlette",
    RAW_QUEUE: "broadcast.raw",
    OURS_QUEUE: "broadcast.ours",
    HUB: "broadcast.hub",
    PROTOCOL: BARE_PROTOCOL,
    BETTER_CHANNEL: BETTER_SSE_CHANNEL,
}

BROADCAST_SHARES = (
    Share(HUB, SSE_STARLETTE_QUEUE),
    Share(HUB, RAW_QUEUE),
    Share(HUB, OURS_QUEUE),
    Share(HUB, BETTER_CHANNEL),
    Share(HUB, PROTOCOL),
    Share(OURS_QUEUE, SSE_STARLETTE_QUEUE),
    Share(OURS_QUEUE, RAW_QUEUE),
)
"""Of CPU time for a delivery, and of memory for a subscriber."""

MOST_TOKEN_DELAY = 0.1
"""Milliseconds that the median from ``yield`` to the client may be ..."""

MOST_TOKEN_DELAYS = 3.0
"""... or this many times the raw bytes' median."""

CONCURRENCY = 32
"""Clients that come and go at the same time."""

CHURN = "churn"
CHURNS = tuple(
    Churn(contender, CONTENDERS[contender], connections)
    for contender, connections in (
        (RAW_STARLETTE, 400),
        (SSE_STARLETTE_STARLETTE, 250),
        (OURS_STARLETTE, 250),
        (FASTAPI_SSE_FASTAPI, 150),
        (OURS_FASTAPI, 250),
    )
)

CHURN_RATIOS = (
    Ratio(CHURN, OURS_STARLETTE, SSE_STARLETTE_STARLETTE, 1.3),
    Ratio(CHURN, OURS_STARLETTE, RAW_STARLETTE, 0.95),
    Ratio(CHURN, OURS_FASTAPI, FASTAPI_SSE_FASTAPI),
)

TASKLESS = (OURS_STARLETTE, OURS_FASTAPI)
"""Contenders whose streams may leave no task."""

MOST_TO_FINALLY = 2.0
"""Milliseconds from the moment an idle client leaves to our ``finally``, on any server."""

LEAVES = tuple(
    Leave(
        scenario,
        way,
        contender,
        server,
        f"/leave-{scenario}",
        by,
        MOST_TO_FINALLY if contender == OURS and scenario == "idle" else None,
    )
    for by, scenarios in (
        (UVICORN, ("idle", "sending")),
        (HYPERCORN, ("idle",)),
        (GRANIAN, ("idle",)),
    )
    for scenario in scenarios
    for way in ("FIN", "RST")
    for contender, server in (
        (RAW, "raw"),
        (OURS, "ours"),
        (SSE_STARLETTE, "sse_starlette"),
        (FASTAPI_SSE, "fastapi_sse"),
    )
)
"""The streams whose reaction to a client that leaves is measured."""

FULL = Size(
    rounds=9,
    divisor=1,
    idle_streams=(1_000, 5_000),
    request_rounds=300,
    import_rounds=21,
    disconnects=50,
    leaves=LEAVES,
    pinged_streams=1_000,
    ping_period=1.0,
    ping_rounds=9,
    ping_seconds=3.0,
    churn_rounds=40,
    token_rounds=9,
    token_streams=500,
    token_period=1 / 60,
    token_seconds=0.7,
    queue_rounds=9,
    queue_streams=1_000,
    queue_burst=50,
    subscribers=(1, 10, 100, 1_000, 5_000),
    broadcast_rounds=3,
    broadcast_rate=20,
    broadcast_seconds=1.5,
    broadcast_burst=50,
    broadcast_bursts=2_000,
    replays=9,
    replayed_events=10_000,
    left_streams=5_000,
    compressed_events=5_000,
    contexts=50,
    context_events=8_000,
    workers=workers_plan.FULL,
    runs=runs_plan.FULL,
    relay=relaying_plan.FULL,
)
QUICK = Size(
    rounds=2,
    divisor=100,
    idle_streams=(20,),
    request_rounds=10,
    import_rounds=1,
    disconnects=2,
    leaves=tuple(leave for leave in LEAVES if leave.by == UVICORN or leave.contender == OURS),
    pinged_streams=20,
    ping_period=0.05,
    ping_rounds=2,
    ping_seconds=0.1,
    churn_rounds=2,
    token_rounds=2,
    token_streams=5,
    token_period=1 / 60,
    token_seconds=0.1,
    queue_rounds=2,
    queue_streams=20,
    queue_burst=5,
    subscribers=(1, 20),
    broadcast_rounds=1,
    broadcast_rate=200,
    broadcast_seconds=0.1,
    broadcast_burst=5,
    broadcast_bursts=1,
    replays=2,
    replayed_events=100,
    left_streams=50,
    compressed_events=100,
    contexts=10,
    context_events=100,
    workers=workers_plan.QUICK,
    runs=runs_plan.QUICK,
    relay=relaying_plan.QUICK,
)
