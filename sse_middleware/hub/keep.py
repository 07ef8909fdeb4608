"""`Keep`: how much a topic keeps, and the choice by the topic's name.

Rules of this file:
- The first pattern that matches a topic's name counts. What no pattern matches has the default.
- Patterns are those of `fnmatch`, with upper and lower case: ``*`` is any text, ``?`` any
  character, ``[ab]`` one of these.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate

from sse_middleware.errors import ConfigurationError
from sse_middleware.validation import check, check_seconds


@dataclass(frozen=True, slots=True)
class Keep:
    """How much of a topic is kept, for those who were away.

    Attributes:
        count: how many events, the newest ones. 0 keeps none.
        seconds: how long a topic is kept after its last event. An event has no age of its own.

    Raises:
        ConfigurationError: for a negative count, or seconds that are not over 0.
    """

    count: int = 100
    seconds: float = 300

    def __post_init__(self) -> None:
        holds = type(self.count) is int and self.count >= 0
        check("count", self.count, holds, "a number of events, 0 or more")
        check_seconds("seconds", self.seconds, "the topic's idleness")


class KeepRules:
    """Chooses what a topic keeps.

    Args:
        keep: for all topics, or by pattern: ``{"chat:*": Keep(500), "*": Keep()}``.

    Raises:
        ConfigurationError: it is neither.
    """

    __slots__ = ("_rules",)

    def __init__(self, keep: Keep | Mapping[str, Keep]) -> None:
        patterns = {"*": keep} if isinstance(keep, Keep) else keep
        _check_patterns(patterns)
        self._rules = [(re.compile(translate(one)), kept) for one, kept in patterns.items()]

    def of(self, topic: str) -> Keep:
        """Return what a topic keeps."""
        return next((keep for pattern, keep in self._rules if pattern.match(topic)), Keep())


def _check_patterns(patterns: object) -> None:
    if isinstance(patterns, Mapping) and all(
        isinstance(pattern, str) and isinstance(keep, Keep) for pattern, keep in patterns.items()
    ):
        return
    raise ConfigurationError(
        f"keep must be a Keep, or a dict from patterns of topics to Keep, got {patterns!r}"
    )
