"""`nothing_left_behind`: checks that nothing that began in a block is still alive after it.

Rules of this file:
- It asks the garbage collector before and after the block, because the garbage collector knows
  every object, whatever the event loop.
- A generator counts only if it has begun and not ended, and if its code is not installed. That is
  the code of the tests and of the application under test. Frameworks keep some generators of their
  own, and pytest keeps those of a ``conftest.py`` that wrap its hooks.
- A task counts, unless a test runner or trio runs the test itself in it.
- The check keeps nothing alive: an object from before the block may end in the block.
"""

import asyncio
import gc
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
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

    It looks at all objects of the process, which takes some ten milliseconds. It works around and
    inside asynchronous code, on every event loop.

    Raises:
        LeftBehindError: names each task that has not ended, each generator of the test's or the
            application's own code that is suspended at a ``yield``, and each open stream.
    """
    before = [ref(thing) for thing in _live_objects()]
    yield
    known = {id(reference()) for reference in before}
    left = [_describe(thing) for thing in _live_objects() if id(thing) not in known]
    if left:
        raise LeftBehindError("\n  ".join(["left behind:", *sorted(left)]))


def _live_objects() -> list[Any]:
    things = gc.get_objects()
    kinds = {kind for kind in set(map(type, things)) if _is_tracked_type(kind)}
    return [thing for thing in things if type(thing) in kinds and _is_live(thing)]


def _is_tracked_type(kind: type) -> bool:
    own = (GeneratorType, AsyncGeneratorType, Exchange, EventStream)
    return kind in own or issubclass(kind, asyncio.Task) or kind is _trio_task()


def _is_live(thing: Any) -> bool:
    kind = type(thing)
    if kind is GeneratorType:
        return bool(thing.gi_suspended) and not _is_installed(thing.gi_code)
    if kind is AsyncGeneratorType:
        return _is_suspended(thing) and not _is_installed(thing.ag_code)
    if kind is Exchange:
        return not thing.ended
    if kind is EventStream:
        return bool(thing.connected)
    return _is_running_task(thing)


def _is_suspended(generator: Any) -> bool:
    # Before Python 3.12 a generator that has not begun looks the same.
    return generator.ag_frame is not None and getattr(generator, "ag_suspended", True)


def _is_running_task(thing: Any) -> bool:
    """Whether a task of asyncio or trio has not ended and doesn't run the test itself."""
    if isinstance(thing, asyncio.Task):
        return not thing.done() and not _name(thing.get_coro()).startswith("TestRunner.")
    if thing.coro.cr_frame is None or "TestRunner." in thing.name:
        return False
    own = Path(sys.modules["trio"].__file__ or "").parent  # its own tasks run the test
    return own not in Path(thing.coro.cr_code.co_filename).parents


def _trio_task() -> Any:
    trio = sys.modules.get("trio")
    return trio and trio.lowlevel.Task


def _is_installed(code: CodeType) -> bool:
    if code.co_filename.startswith("<") or code.co_name.startswith("pytest_"):
        return True
    return code.co_filename.startswith(_installed_places())


@cache
def _installed_places() -> tuple[str, ...]:
    """Return where Python and its packages are. Asking takes longer than the rest of a check."""
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(sysconfig.get_path(kind) for kind in kinds)


def _describe(thing: Any) -> str:
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
