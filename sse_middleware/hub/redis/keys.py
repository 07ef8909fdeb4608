"""`Keys`: the names of keys and channels of one hub.

Rules of this file:
- All of them begin with the prefix in braces. So they are in one slot, and a user of Redis needs
  rights to ``{prefix}:*`` only.
- Redis has one space of channels for all databases. So a channel's name contains the database.
"""

import re

from sse_middleware.errors import ConfigurationError, printable

_PREFIX = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")


class Keys:
    """Names of keys and channels.

    Args:
        prefix: of all names. Hubs that share it share their topics.
        database: the number of Redis's database.

    Raises:
        ConfigurationError: the prefix can't be one.
    """

    __slots__ = ("_channel", "_event", "_last", "_root", "_run", "clock", "probe")

    def __init__(self, prefix: str, database: int) -> None:
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise ConfigurationError(
                "prefix must be 1 to 100 letters, digits or characters of '_.:/-', "
                f"got {printable(repr(prefix))}"
            )
        self._root = root = b"{%b}:" % prefix.encode()
        self._event, self._last = root + b"events:", root + b"last:"
        self._run = root + b"run:"
        self._channel = b"%b%d:" % (root, database)
        self.clock = root + b"clock"
        self.probe = root + b"probe"

    @property
    def pattern(self) -> str:
        """What all names match."""
        return f"{self._root.decode()}*"

    def stream(self, topic: bytes) -> bytes:
        """Return the key of a topic's events."""
        return self._event + topic

    def last(self, topic: bytes) -> bytes:
        """Return the key of a topic's last clock."""
        return self._last + topic

    def run(self, topic: bytes) -> bytes:
        """Return the key of a topic's run."""
        return self._run + topic

    def once(self, topic: bytes, once: str) -> bytes:
        """Return the key of an append that is made once. A topic has no line feed."""
        return b"%bonce:%b\n%b" % (self._root, topic, once.encode(errors="surrogatepass"))

    def channel(self, topic: bytes) -> bytes:
        """Return the channel of a topic."""
        return b"%btopic:%b" % (self._channel, topic)

    def probe_channel(self, name: str) -> bytes:
        """Return a channel on which a connection is tried out. Nobody else may have the name."""
        return b"%bprobe:%b" % (self._channel, name.encode())

    def tick(self, name: str) -> bytes:
        """Return the channel of a listener's ticks."""
        return b"%btick:%b" % (self._channel, name.encode())
