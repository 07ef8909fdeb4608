"""What is measured of gateways: tables, no code."""

from dataclasses import dataclass

RELAY = "`relay`"
RELAY_READ = "`relay` with `map=`, unchanged"
RELAY_CHANGED = "`relay` with `map=`, a field removed"
RAW_BYTES = "`StreamingResponse(upstream.aiter_raw())`"
DECODED = "httpx-sse and sse-starlette"
DECODED_CHANGED = "httpx-sse and sse-starlette, a field removed"

UPSTREAM = "relay.upstream"

BURST = "burst"
"""Many events in each chunk of the upstream."""

PACED = "paced"
"""One event in each chunk, one every few milliseconds in each of many streams."""

SCENES = (BURST, PACED)


@dataclass(frozen=True, slots=True)
class Gateway:
    """One way to pass a stream on."""

    name: str
    server: str
    path: str
    burst: int
    """Events of one burst: enough for about half a second."""


GATEWAYS = (
    Gateway(RAW_BYTES, "relay.raw", "/passed", 400_000),
    Gateway(RELAY, "relay.ours", "/passed", 400_000),
    Gateway(RELAY_READ, "relay.ours", "/read", 40_000),
    Gateway(RELAY_CHANGED, "relay.ours", "/changed", 25_000),
    Gateway(DECODED, "relay.httpx_sse", "/passed", 8_000),
    Gateway(DECODED_CHANGED, "relay.httpx_sse", "/changed", 8_000),
)


@dataclass(frozen=True, slots=True)
class RelaySize:
    """How much is measured."""

    rounds: int
    divisor: int
    """The events of each burst are divided by it."""
    streams: int
    """How many paced streams there are at once."""
    period: float
    """Seconds that the upstream waits after each paced event."""
    seconds: float
    """How long paced events are measured in each round."""


FULL = RelaySize(rounds=7, divisor=1, streams=40, period=1 / 40, seconds=1.0)
QUICK = RelaySize(rounds=1, divisor=40, streams=5, period=1 / 40, seconds=0.1)
