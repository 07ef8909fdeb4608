"""`nothing_left_behind`: a block after which nothing that it began still lives.

Rules of this file:
- The garbage collector knows every object, whatever the event loop, so it is asked, before and
  after.
- Of generators only those count that have begun and not ended, and whose code is not installed:
  those of the tests and of the application under test. Frameworks keep some of their own, and
  pytest those of a ``conftest.py`` that wrap its hooks.
- It keeps nothing alive: what it saw before may end in the block.
- Tasks count, but for those in which test runners and trio run the test itself.
"""

import asyncio
import gc
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import AsyncGeneratorType, CodeType, FrameType, GeneratorType
from typing import Any
from weakref import ref

from sse_middleware.testing.errors import LeftBehindError
from sse_middleware.testing.event_stream import EventStream
from sse_middleware.testing.exchange import Exchange


@contextmanager
def nothing_left_behind() -> Iterator[None]:
    """Fail if the block leaves a task, a generator or a stream behind.

    It looks at the objects of the process, which takes some ten milliseconds, and works around
    asynchronous code and in it, on every event loop.

    Raises:
        LeftBehindError: names each task that has not ended, each generator of the test's or the
            application's own code that stands at a ``yield``, and each open stream.
    """
    before = [ref(thing) for thing in _living()]
    yield
    known = {id(reference()) for reference in before}
    left = [_described(thing) for thing in _living() if id(thing) not in known]
    if left:
        raise LeftBehindError("\n  ".join(["left behind:", *sorted(left)]))


def _living() -> list[Any]:
    things = gc.get_objects()
    kinds = {kind for kind in set(map(type, things)) if _may_live(kind)}
    return [thing for thing in things if type(thing) in kinds and _lives(thing)]


def _may_live(kind: type) -> bool:
    own = (GeneratorType, AsyncGeneratorType, Exchange, EventStream)
    return kind in own or issubclass(kind, asyncio.Task) or kind is _trio_task()


def _lives(thing: Any) -> bool:
    kind = type(thing)
    if kind is GeneratorType:
        return bool(thing.gi_suspended) and not _is_installed(thing.gi_code)
    if kind is AsyncGeneratorType:
        return _stands_at_yield(thing) and not _is_installed(thing.ag_code)
    if kind is Exchange:
        return not thing.ended
    if kind is EventStream:
        return bool(thing.connected)
    return _is_running_task(thing)


def _stands_at_yield(generator: Any) -> bool:
    # Before Python 3.12 one that was never entered looks the same.
    return generator.ag_frame is not None and getattr(generator, "ag_suspended", True)


def _is_running_task(thing: Any) -> bool:
    """Whether a task of asyncio's or trio's has not ended, and is not the test itself."""
    if isinstance(thing, asyncio.Task):
        return not thing.done() and not _name(thing.get_coro()).startswith("TestRunner.")
    if thing.coro.cr_frame is None or "TestRunner." in thing.name:
        return False
    own = Path(sys.modules["trio"].__file__ or "").parent  # of the run and not of the test
    return own not in Path(thing.coro.cr_code.co_filename).parents


def _trio_task() -> Any:
    trio = sys.modules.get("trio")
    return trio and trio.lowlevel.Task


def _is_installed(code: CodeType) -> bool:
    if code.co_filename.startswith("<") or code.co_name.startswith("pytest_"):
        return True
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    return any(code.co_filename.startswith(sysconfig.get_path(kind)) for kind in kinds)


def _described(thing: Any) -> str:
    kind = type(thing)
    if kind is GeneratorType:
        return f"generator {_place(thing.__qualname__, thing.gi_frame)}"
    if kind is AsyncGeneratorType:
        return f"async generator {_place(thing.__qualname__, thing.ag_frame)}"
    return f"{'task ' if kind not in (Exchange, EventStream) else ''}{thing!r}"


def _place(name: str, frame: FrameType) -> str:
    return f"{name} at {frame.f_code.co_filename}:{frame.f_lineno}"


def _name(coroutine: Any) -> str:
    return str(getattr(coroutine, "__qualname__", ""))
