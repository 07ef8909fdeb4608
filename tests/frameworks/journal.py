"""What an application under test and its test say to each other: lines on stdout and on stdin."""

import sys

import anyio


def tell(what: str) -> None:
    """Print a line for the test that waits for it."""
    print(what, flush=True)


def hear() -> None:
    """Wait for a line of the test."""
    sys.stdin.readline()


async def heard() -> None:
    """Wait for a line of the test, and let others run meanwhile."""
    await anyio.to_thread.run_sync(hear)
