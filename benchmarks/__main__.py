"""``python -m benchmarks``: runs all parts, or those that you name, and prints the tables.

Rules of this file:
- This process is the client. Every server is its own process. Nothing else runs at the same time.
- The parts run one after the other, and each prints its tables when it is done.
- Nothing here fails for being slow. An event that doesn't arrive, or a server that doesn't start,
  is an error.
- Tables go to standard output, progress to standard error.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator

from benchmarks import broadcast_report, relaying_report, report, runs_report, workers_report
from benchmarks.broadcast import measure_broadcasts
from benchmarks.children import exit_when_asked
from benchmarks.churn import measure_churn
from benchmarks.compression import measure_compression
from benchmarks.imports import imports_table, measure_imports
from benchmarks.inprocess import request_overhead
from benchmarks.latency import measure_latencies
from benchmarks.memory import measure_memory
from benchmarks.pings import measure_pings
from benchmarks.plan import FULL, QUICK, Size
from benchmarks.progress import say
from benchmarks.queues import measure_queues
from benchmarks.rates import measure_rates
from benchmarks.relaying import measure_relays
from benchmarks.replay import replays_per_second
from benchmarks.runs import measure_memories, measured_stores
from benchmarks.runs import measure_tokens as measure_tokens_of_runs
from benchmarks.servers import better_sse_versions, missing_better_sse
from benchmarks.stores import measure_publishing, measure_replays, places
from benchmarks.tokens import measure_tokens
from benchmarks.workers import measure_delays, measure_fan_out


def rates(size: Size) -> list[str]:
    """Events per second of each scenario."""
    return report.rates_parts(measure_rates(size))


def requests(size: Size) -> list[str]:
    """What the middleware costs a request that is no stream."""
    say("a request that is no stream")
    return [report.request_line(request_overhead(size.request_rounds))]


def imports(size: Size) -> list[str]:
    """What importing the package takes."""
    say("imports")
    return [imports_table(measure_imports(size.import_rounds))]


def memory(size: Size) -> list[str]:
    """Memory of idle streams."""
    return report.memory_parts(*measure_memory(size), size)


def pings(size: Size) -> list[str]:
    """CPU time of idle streams and their keep-alives."""
    return report.pings_parts(*measure_pings(size), size)


def tokens(size: Size) -> list[str]:
    """CPU time and delay of small events, one every few milliseconds in each of many streams."""
    return report.tokens_parts(measure_tokens(size))


def queues(size: Size) -> list[str]:
    """When the events of a burst arrive that is put into the queues of many streams."""
    return report.queues_parts(*measure_queues(size), size)


def broadcast(size: Size) -> list[str]:
    """What an event for many subscribers costs, and when it reaches them."""
    parts = broadcast_report.broadcast_parts(*measure_broadcasts(size), size)
    say("replay of kept events")
    rates = replays_per_second(size.replayed_events, size.replays)
    return [*parts, broadcast_report.replay_line(rates, size)]


def workers(size: Size) -> Iterator[str]:
    """What a hub costs that several processes share, in a file or in Redis."""
    part = size.workers
    with places() as found:
        yield workers_report.machine_line(found)
        yield from workers_report.publishing_parts(measure_publishing(found, part))
        yield workers_report.replays_table(measure_replays(found, part), part)
        yield workers_report.DELAYS
        yield workers_report.delays_table(measure_delays(found, part))
        yield from workers_report.fan_out_parts(*measure_fan_out(found, part), part)


def runs(size: Size) -> Iterator[str]:
    """What a run of a hub costs beside a plain stream of the same generator."""
    part = size.runs
    with places() as places_found:
        found = measured_stores(places_found)
        yield runs_report.stores_line(found)
        fast, paced = measure_tokens_of_runs(found, part)
        yield runs_report.fast_table(fast)
        yield runs_report.paced_title(part)
        yield runs_report.paced_table(paced)
        yield from runs_report.memory_parts(*measure_memories(found, part), part)


def relay(size: Size) -> list[str]:
    """What an event costs a gateway that passes on the stream of an upstream."""
    return relaying_report.relaying_parts(measure_relays(size.relay), size.relay)


def churn(size: Size) -> list[str]:
    """Clients that come and go, and the tasks that they leave."""
    return report.churn_parts(*measure_churn(size), size)


def latency(size: Size) -> list[str]:
    """How fast the server notices that a client has left."""
    return report.latency_parts(measure_latencies(size))


def compression(size: Size) -> list[str]:
    """What compression saves and costs."""
    return [report.compression_table(measure_compression(size))]


PARTS: dict[str, Callable[[Size], Iterable[str]]] = {
    part.__name__: part
    for part in (
        *(rates, requests, imports, memory, pings, tokens, queues),
        *(broadcast, workers, runs, relay, churn, latency, compression),
    )
}


def main() -> None:
    exit_when_asked()
    arguments = parse_arguments()
    missing = missing_better_sse()
    better_sse = f"better-sse was left out: {missing}" if missing else better_sse_versions()
    print(f"{report.versions()}. {better_sse}.", flush=True)
    for name in arguments.parts or PARTS:
        for text in PARTS[name](QUICK if arguments.quick else FULL):
            print(f"\n{text}", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare sse_middleware with its peers.",
        epilog="The parts: "
        + "; ".join(f"{name}: {part.__doc__}" for name, part in PARTS.items()).replace(".;", ";"),
    )
    parser.add_argument("parts", nargs="*", metavar="part", help="what to measure; all by default")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its figures mean little")
    arguments = parser.parse_args()
    # Not by `choices`: some Pythons refuse the empty list, too.
    if unknown := [part for part in arguments.parts if part not in PARTS]:
        parser.error(f"there is no {', '.join(unknown)} among {', '.join(PARTS)}")
    return arguments


if __name__ == "__main__":
    main()
