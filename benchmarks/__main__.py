"""``python -m benchmarks``: runs everything and prints the tables.

Rules of this file:
- This process is the client; every server is a process of its own. Nothing else runs beside them.
- The contenders take turns: in each round each of them runs once, those of one scenario one right
  after the other, so that all of them see the same moods of the machine.
- Nothing here fails for being slow. An event that did not arrive, or a server that did not start,
  is an error.
- Tables go to standard output, progress to standard error.
"""

import argparse
import signal
import sys
import time
from contextlib import ExitStack

from benchmarks import report
from benchmarks.client import events_per_second
from benchmarks.inprocess import request_overhead
from benchmarks.latency import Latencies, measure_latencies
from benchmarks.memory import kib_per_stream
from benchmarks.plan import FULL, IDLE, LOADS, QUICK, Load, Size
from benchmarks.servers import BETTER_SSE, better_sse_versions, missing_better_sse, serving

Round = dict[tuple[str, str], float]
"""Events per second, by scenario and contender."""

WARM_UP = 10
"""The warm-up is a round with so many times fewer events: what is loaded or compiled with the first
request, and what the interpreters learn about the code, is no cost of an event."""


def main() -> None:
    # The default action of SIGTERM would leave the servers behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    size = QUICK if parse_arguments().quick else FULL
    missing = missing_better_sse()
    loads = [load for load in LOADS if not (missing and load.server == BETTER_SSE)]
    say("a request that is no stream")
    microseconds = request_overhead(size.request_rounds)
    memory = measure_memory(size)
    say(f"{size.disconnects} disconnects of each stream")
    latencies = measure_latencies(size.disconnects)
    rates = measure_rates(loads, size)
    print_report(rates, microseconds, memory, latencies, missing)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure sse_middleware beside its peers."
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures say little")
    return parser.parse_args()


def measure_memory(size: Size) -> dict[str, float | None]:
    sizes = {}
    for contender, server in IDLE:
        say(f"memory of {size.idle_streams} idle streams: {contender}")
        sizes[contender] = kib_per_stream(server, size.idle_streams)
    return sizes


def measure_rates(loads: list[Load], size: Size) -> report.Rates:
    with ExitStack() as servers:
        names = dict.fromkeys(load.server for load in loads)
        ports = {name: servers.enter_context(serving(name)).port for name in names}
        say("warming up")
        run_round(loads, ports, size.divisor * WARM_UP)
        end = time.monotonic() + size.budget
        rounds: list[Round] = []
        while len(rounds) < size.rounds and (not rounds or time.monotonic() < end):
            say(f"round {len(rounds) + 1} of {size.rounds}")
            rounds.append(run_round(loads, ports, size.divisor))
    return {key: [one[key] for one in rounds] for key in rounds[0]}


def run_round(loads: list[Load], ports: dict[str, int], divisor: int) -> Round:
    """Run every load once, with a fraction of its events."""
    return {
        (load.scenario, load.contender): events_per_second(
            ports[load.server], load.path, load.events // divisor
        )
        for load in loads
    }


def print_report(
    rates: report.Rates,
    microseconds: float,
    memory: dict[str, float | None],
    latencies: Latencies,
    missing: str | None,
) -> None:
    better_sse = f"better-sse was left out: {missing}" if missing else better_sse_versions()
    parts = [
        f"{report.versions()}. {better_sse}.",
        report.ratios_table(rates),
        report.rates_table(rates),
        report.request_line(microseconds),
        report.memory_table(memory),
        report.latency_table(latencies),
    ]
    print("\n\n".join(parts))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
