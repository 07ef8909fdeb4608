"""What is run, and which ratios are read from it: tables, no code.

A scenario is run with every contender that offers it, one after the other, and then the next
scenario. The numbers of events are such that each takes about half a second: long against the noise
of starting, short against what changes on a shared machine.
"""

from dataclasses import dataclass

from benchmarks.servers import BETTER_SSE

OURS = "`@event_stream`"
OURS_RESPONSE_CLASS = "`response_class=`"
RAW = "raw bytes"
FASTAPI_SSE = "fastapi.sse"
SSE_STARLETTE = "sse-starlette"
BETTER = "better-sse (Node)"
ADOPTED = "with `SSEMiddleware`"
ALONE = "without it"


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
    """How many times as fast as its peer ours is to be; ``None`` only prints it."""

    scenario: str
    ours: str
    peer: str
    floor: float | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """One stream that its client leaves, and how."""

    scenario: str
    way: str
    contender: str
    server: str
    path: str


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    divisor: int
    """The events of each load are divided by it."""
    idle_streams: int
    request_rounds: int
    disconnects: int
    """How often each stream is left in each way."""
    budget: float = 120.0
    """Seconds after which no further round is begun."""


FULL = Size(rounds=9, divisor=1, idle_streams=500, request_rounds=300, disconnects=50)
QUICK = Size(rounds=2, divisor=100, idle_streams=20, request_rounds=10, disconnects=2)

LOADS = (
    Load("burst", RAW, "raw", "/burst", 100_000),
    Load("burst", OURS, "ours", "/burst", 600_000),
    Load("burst", OURS_RESPONSE_CLASS, "ours", "/burst-response-class", 600_000),
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
"""Microseconds that a request that is no stream may pay for the middleware."""

IDLE = (
    ("raw bytes, Starlette", "raw"),
    ("sse-starlette, Starlette", "sse_starlette"),
    ("`@event_stream`, Starlette", "ours_starlette"),
    ("fastapi.sse, FastAPI", "fastapi_sse"),
    ("`@event_stream`, FastAPI", "ours"),
)
"""Whose memory is measured: what it is and its server. FastAPI takes its share of it."""

LEAVES = tuple(
    Leave(scenario, way, contender, server, f"/leave-{scenario}")
    for scenario in ("idle", "sending")
    for way in ("FIN", "RST")
    for contender, server in (
        (RAW, "raw"),
        (OURS, "ours"),
        (SSE_STARLETTE, "sse_starlette"),
        (FASTAPI_SSE, "fastapi_sse"),
    )
)
"""Whose reaction to a client that leaves is measured."""
