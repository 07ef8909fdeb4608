"""What the panels have in common: one hub, and the log that the page shows.

DEMO_HUB  where the hub keeps its events, so that they outlive a restart: ``sqlite:///file``.
          Without it they are in memory
"""

import os
from datetime import UTC, datetime

from sse_middleware import Hub, Keep

HOUR = 60 * 60
BURST = 500
"""Events of a burst that are kept for a client that reads slowly."""

hub = Hub(
    os.environ.get("DEMO_HUB"),
    keep={
        "burst:*": Keep(count=BURST, seconds=300),
        "numbers": Keep(count=20_000, seconds=HOUR),
        "*": Keep(count=200, seconds=HOUR),
    },
)


async def log(text: str) -> None:
    """Show a line in the page's log of the server."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    await hub.publish("log", {"at": now, "worker": os.getpid(), "text": text}, event="log")
