"""What a subscriber wants, and what it needs of its hub."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sse_middleware.hub.ids import Position
from sse_middleware.hub.paging import Pages
from sse_middleware.hub.published_event import PublishedEvent, ReadEvents
from sse_middleware.hub.worker import Worker
from sse_middleware.validation import check

Where = Callable[[PublishedEvent], object]
"""Says whether a subscriber wants an event."""

_SUBJECT = "what identifies a user, such as an id"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a subscriber wants."""

    names: tuple[str, ...]
    """Topics."""
    after: Position | None = None
    """Where it begins without an id: after this position."""
    with_kept: bool = False
    """Or with all that is kept. Otherwise it begins with what is published from now on."""
    since: Position | None = None
    """Where it begins at the earliest, whatever id the client has."""
    where: Where | None = None
    """A filter."""
    dropped_in_a_row: int = 25
    """After how many events that the filter drops the client's position is moved."""
    subject: str | None = None
    """Whose stream it is."""


class OpenSubscription(Protocol):
    """An open subscription."""

    @property
    def subject(self) -> str | None:
        """Whose stream it is."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""

    def age(self) -> float:
        """Return how many seconds ago it was made."""

    def end(self) -> None:
        """Say that nothing more will come."""


class Guard(Protocol):
    """Ends the streams of subjects that were disconnected."""

    async def watch(self, subscription: OpenSubscription) -> None:
        """End a subscription once its subject is disconnected, which may be now."""

    def forget(self, subscription: OpenSubscription) -> None:
        """Watch it no more. It may never have been watched."""


class OpenHub(Protocol):
    """What a subscription needs of its hub."""

    worker: Worker
    pages: Pages
    read_events: ReadEvents

    @property
    def guard(self) -> Guard:
        """Ends the streams of subjects that were disconnected."""


FindHub = Callable[[], OpenHub]
"""Returns the open hub. Raises `HubError` unless it is open in the running event loop."""


def checked_subject(subject: object) -> str | None:
    """Return the name of a subject. Raises `ConfigurationError` if it is empty."""
    name = None if subject is None else str(subject)
    check("subject", subject, name != "", _SUBJECT)
    return name


def named_subject(subject: object) -> str:
    """Return the name of a subject. Raises `ConfigurationError` if there is none."""
    name = checked_subject(subject)
    check("subject", subject, name is not None, _SUBJECT)
    return str(name)
