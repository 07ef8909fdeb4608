"""Counts the work of a function: its calls, and the bytes that it looks at."""

import sys
from collections.abc import Iterable
from inspect import CO_GENERATOR
from types import FrameType
from typing import Any, Self

from sse_middleware.legacy.json.scanner import JSONScanner

_PLACES = {"at", "begin", "end"}
"""Names of arguments that say which part of a text is looked at."""


class Steps:
    """Within ``with``, counts each call, and the bytes of each text that is passed to a function.

    A text that is passed together with a place in it isn't counted, because only a part of it is
    looked at. For the JSON scanner the bytes count by which it moves on.
    """

    def __init__(self) -> None:
        self.count = 0
        self._seen: set[FrameType] = set()
        self._scans: list[tuple[FrameType, int]] = []

    def __enter__(self) -> Self:
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            self.count += 1
        elif event == "call":
            self.count += 1 + self._bytes(frame)
        elif event == "return" and self._scans and self._scans[-1][0] is frame:
            self.count += frame.f_locals["self"].at - self._scans.pop()[1]

    def _bytes(self, frame: FrameType) -> int:
        """Return how many bytes a function gets. A generator gets them once."""
        if frame.f_code.co_flags & CO_GENERATOR:
            if frame in self._seen:
                return 0
            self._seen.add(frame)
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount]
        given = {name: frame.f_locals[name] for name in names if name in frame.f_locals}
        if isinstance(given.get("self"), JSONScanner) and frame.f_code.co_name == "scan":
            self._scans.append((frame, given["self"].at))
        if _PLACES & given.keys():
            return 0
        return sum(len(one) for one in given.values() if isinstance(one, bytes))


def work(slices: Iterable[Any]) -> tuple[int, int]:
    """Take all slices. Return the work of all of them, and of the one that takes most."""
    most = before = 0
    steps = Steps()
    remaining = iter(slices)
    while True:
        with steps:
            done = next(remaining, None) is None
        most, before = max(most, steps.count - before), steps.count
        if done:
            return steps.count, most
