"""`nothing_left_behind`: a block after which nothing that it began still lives.

Rules of this file:
- The garbage collector knows every object, whatever the event loop, so it is asked, before and
  after.
- Of generators only those count that have begun and not ended, and whose code is not installed:
  those of the tests and of the application under test. Frameworks keep some of their own.
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
    before = _living()
    yield
    known = {id(thing) for thing in before}
    left = [_described(thing) for thing in _living() if id(thing) not in known]
    if left:
        raise LeftBehindError("\n  ".join(["left behind:", *sorted(left)]))


def _living() -> list[Any]:
    return [thing for thing in gc.get_objects() if _lives(thing)]


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
    return _is_task(thing, kind)


def _stands_at_yield(generator: Any) -> bool:
    # Before Python 3.12 one that was never entered looks the same.
    return generator.ag_frame is not None and getattr(generator, "ag_suspended", True)


def _is_task(thing: Any, kind: type) -> bool:
    """Whether it is a task of asyncio's or trio's that has not ended, and not the test itself."""
    if issubclass(kind, asyncio.Task):
        return not thing.done() and not _name(thing.get_coro()).startswith("TestRunner.")
    trio = sys.modules.get("trio")
    if trio is None or kind is not trio.lowlevel.Task or "TestRunner." in thing.name:
        return False
    own = Path(str(trio.__file__)).parent  # what belongs to the run and not to the test
    return (
        thing.coro.cr_frame is not None and own not in Path(thing.coro.cr_code.co_filename).parents
    )


def _is_installed(code: CodeType) -> bool:
    if code.co_filename.startswith("<"):
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
