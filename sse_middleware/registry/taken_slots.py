"""`TakenSlots`: how many streams may be open at once, in all and for each client.

An admitted stream holds its slot until it gives it back, whatever happens in between. It may hold
the slot longer than it is open: a generator's thread can't be cancelled, so the slot is held until
the thread has returned, even if the registry of its event loop is replaced meanwhile.
"""

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Generic, Protocol, TypeVar
from weakref import WeakSet

from sse_middleware.settings import Policy


class Full(Enum):
    """Why a stream isn't admitted."""

    DRAINING = "the server is about to stop"
    STREAMS = "too many streams are open"
    CLIENT = "too many streams of this client are open"


class _Owned(Protocol):
    """A slot, as far as it counts here."""

    client: str | None
    ended: bool


SlotT = TypeVar("SlotT", bound=_Owned)


class TakenSlots(Generic[SlotT]):
    """The slots that are taken.

    Args:
        policy: its limits.
        before: those of the registry before, in the same event loop. They count here.
    """

    def __init__(self, policy: Policy, before: "TakenSlots[SlotT] | None" = None) -> None:
        self._policy = policy
        self._taken: dict[SlotT, None] = {}
        # Those of all registries of the event loop. One that is dropped has no slots.
        self._all: WeakSet[TakenSlots[SlotT]] = (
            WeakSet() if before is None else before._all  # noqa: SLF001 - this class
        )
        self._all.add(self)
        # How many each client holds. Clients without a limit don't count.
        self._clients: Counter[str] = (
            Counter() if before is None else before._clients  # noqa: SLF001 - this class
        )
        self.open = 0
        """How many belong to streams that have not ended."""

    def __len__(self) -> int:
        return len(self._taken)

    def __iter__(self) -> Iterator[SlotT]:
        return iter(self._taken)

    @property
    def total(self) -> int:
        """How many are taken in the event loop."""
        return sum(map(len, self._all))

    @property
    def clients(self) -> int:
        """How many clients hold slots."""
        return len(self._clients)

    def why_full(self, client: str | None) -> Full | None:
        """Return why a client can't have one more, ``None`` if it can."""
        policy = self._policy
        if policy.max_streams is not None and self.total >= policy.max_streams:
            return Full.STREAMS
        most = policy.max_streams_per_client
        if most is not None and client is not None and self._clients[client] >= most:
            return Full.CLIENT
        return None

    def take(self, slot: SlotT) -> None:
        """Note that a slot is taken."""
        self._taken[slot] = None
        self.open += 1
        if slot.client is not None:
            self._clients[slot.client] += 1

    def end(self, slot: SlotT) -> None:
        """Note that the stream of a slot has ended. Call it once, before `give_back`."""
        slot.ended = True
        self.open -= 1

    def give_back(self, slot: SlotT) -> None:
        """Make room for another stream."""
        del self._taken[slot]
        if slot.client is not None:
            self._clients[slot.client] -= 1
            if not self._clients[slot.client]:
                del self._clients[slot.client]
