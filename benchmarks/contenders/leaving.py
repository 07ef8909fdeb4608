"""How a contender's server reports that it has ended the generator of a client that left."""

from time import monotonic

PERIOD = 0.01
"""Seconds between two events of a stream that its client leaves while it sends."""


def report_end(visit: int) -> None:
    """Print the moment, for the client that waits for it. Called in a ``finally``."""
    moment = monotonic()
    print(visit, moment, flush=True)
