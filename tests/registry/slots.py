"""A registry of a policy, its slots, and streams to put into them."""

from typing import Any

from sse_middleware.observers import StreamInfo
from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.settings import Policy

INFO = StreamInfo("0" * 16, "GET", "/", None, "a")


class OpenStream:
    """An open stream, as far as its registry sees it."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        """The delays of the drains that reached it."""

    def drain(self, delay: float) -> None:
        self.delays.append(delay)

    def counts(self) -> tuple[int, int, int]:
        return 2, 20, 5

    def last_id(self) -> str:
        return ""


def registry_of(**policy: Any) -> Registry:
    return Registry(Policy(**{"drain": False, **policy}))


def admitted(registry: Registry, client: str | None = None, info: StreamInfo | None = None) -> Slot:
    slot = registry.enter(client, info)
    assert isinstance(slot, Slot)
    return slot
