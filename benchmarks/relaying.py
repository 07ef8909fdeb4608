"""What an event costs the process of a gateway that passes it on (Linux only).

Rules of this file:
- The upstream is a process of its own, and so is each gateway. All read it by the same client.
- The contenders take turns in each round, and each has the upstream to itself.
- The cost is the CPU time of the gateway's process, divided by the events that arrived at the
  client. So neither the upstream nor the client is in it.
"""

from contextlib import closing
from http.client import HTTPConnection

from benchmarks.client import EVENT, TIMEOUT, IncompleteError, idle_streams
from benchmarks.processes import cpu_seconds
from benchmarks.progress import say
from benchmarks.relaying_plan import BURST, GATEWAYS, PACED, UPSTREAM, Gateway, RelaySize
from benchmarks.servers import RunningServer, serving
from benchmarks.tokens import READ_SIZE, WARM_UP, read_delays, selecting

Round = dict[tuple[str, str], float]
"""Seconds of CPU time for an event, of each scene and contender."""


def measure_relays(size: RelaySize) -> list[Round]:
    """Return the costs of each round."""
    with serving([UPSTREAM]) as upstreams:
        environment = {"UPSTREAM": f"http://127.0.0.1:{upstreams[UPSTREAM].port}"}
        names = dict.fromkeys(gateway.server for gateway in GATEWAYS)
        with serving(names, environment=environment) as running:
            return [run_round(number, running, size) for number in range(size.rounds)]


def run_round(number: int, running: dict[str, RunningServer], size: RelaySize) -> Round:
    say(f"relays: round {number + 1} of {size.rounds}")
    costs: Round = {}
    for gateway in GATEWAYS:
        costs[BURST, gateway.name] = cost_of_burst(running[gateway.server], gateway, size)
    for gateway in GATEWAYS:
        costs[PACED, gateway.name] = cost_of_paced(running[gateway.server], gateway, size)
    return costs


def cost_of_burst(server: RunningServer, gateway: Gateway, size: RelaySize) -> float:
    count = gateway.burst // size.divisor
    before = cpu_seconds(server.pid) or 0
    arrived = count_events(server.port, f"{gateway.path}/{BURST}?n={count}")
    if arrived != count:
        raise IncompleteError(f"{arrived} of {count} events of {gateway.name} arrived")
    return ((cpu_seconds(server.pid) or 0) - before) / count


def count_events(port: int, target: str) -> int:
    """Read a response to its end, and return the number of its events.

    Some gateways cut events, so the framing of HTTP is taken off first.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    with closing(connection):
        connection.request("GET", target, headers={"Accept": "text/event-stream"})
        response = connection.getresponse()
        events, kept = 0, b""
        while read := response.read1(READ_SIZE):
            events += (kept + read).count(EVENT)
            kept = (kept + read)[1 - len(EVENT) :]
    return events


def cost_of_paced(server: RunningServer, gateway: Gateway, size: RelaySize) -> float:
    path = f"{gateway.path}/{PACED}?period={size.period}"
    with (
        idle_streams(server.port, size.streams, path, size.period) as streams,
        selecting(streams) as selector,
    ):
        read_delays(selector, min(WARM_UP, size.seconds))
        before = cpu_seconds(server.pid) or 0
        events = len(read_delays(selector, size.seconds))
        after = cpu_seconds(server.pid) or 0
    if not events:
        raise IncompleteError(f"{gateway.name} sent nothing")
    return (after - before) / events
