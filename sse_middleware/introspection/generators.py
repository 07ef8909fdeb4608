"""What a suspended asynchronous generator still does, read from its code.

A generator that can't yield any more has something left to do: it is in the ``finally`` after its
last ``yield``, in the exit of an ``async with``, or in code that comes after the last ``yield``. To
cancel it then would break off what it does there, such as storing an answer.

Rules of this file:
- What counts is where the code leads if nothing raises. In an ``async for`` it also leads to the
  end of the loop.
- A generator that iterates over another one is where that one is: if the inner one can't yield any
  more, the loop is about to end.
- The compiler writes a ``finally`` and the exit of a ``with`` twice: for the end of the block, and
  for what it raises. So code that is in two places, one of which is only reached by an error,
  is cleanup. So is code after the last ``yield`` that only leads to raising again.
- The exit of a task group waits for its tasks. Where a ``yield`` follows, that is not cleanup: they
  make what is yielded next.
- Where anything is unknown, the generator can yield.
"""

import dis
import gc
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import lru_cache
from inspect import isasyncgen
from types import AsyncGeneratorType, CodeType
from typing import Any, NamedTuple

_NO_FALL_THROUGH = (
    "JUMP_BACKWARD",
    "JUMP_BACKWARD_NO_INTERRUPT",
    "JUMP_FORWARD",
    "RAISE_VARARGS",
    "RERAISE",
    "RETURN_CONST",
    "RETURN_VALUE",
)
"""Instructions after which the next one doesn't follow."""

_EXITS = 2
"""The argument of what awaits ``__aexit__``."""

_ASYNC_GEN_WRAP = 4
"""The intrinsic function that wraps what an asynchronous generator yields (from Python 3.12 on)."""


class Stage(Enum):
    """What a generator does."""

    PRODUCING = "it can yield again"
    FINISHING = "it is in code after its last yield"
    CLEANING_UP = "it is in a finally or in the exit of a with"


def stage_of(generator: AsyncGeneratorType[Any, Any]) -> Stage:
    """Return what a generator that waits does, unless something raises."""
    frame = generator.ag_frame
    if frame is None:
        return Stage.CLEANING_UP
    step: object = generator.ag_await
    inner = _iterated(step)
    stage = Stage.PRODUCING if inner is None else stage_of(inner)
    # Whether it waits in the exit of a task group, by the name that asyncio and anyio give it.
    gathers = getattr(step, "__qualname__", None) == "TaskGroup.__aexit__"
    return _stage_at(frame.f_code, frame.f_lasti, stage, gathers=gathers)


def _iterated(step: object) -> AsyncGeneratorType[Any, Any] | None:
    """Return the generator whose next item is waited for, ``None`` if it is something else."""
    if type(step).__name__ != "async_generator_asend":
        return None
    return next(filter(isasyncgen, gc.get_referents(step)), None)


@lru_cache(maxsize=2048)
def _stage_at(code: CodeType, offset: int, inner: Stage, *, gathers: bool) -> Stage:
    """Return the stage at an instruction.

    Args:
        code: of the generator.
        offset: of the instruction.
        inner: the stage of the generator that it iterates over.
        gathers: whether it waits in the exit of a task group.
    """
    flow = _flow_of(code)
    if inner is Stage.CLEANING_UP or (
        flow.is_cleanup(offset) and not (gathers and flow.can_yield(offset))
    ):
        return Stage.CLEANING_UP
    if inner is Stage.FINISHING:
        offset = flow.end_of_loop(offset)
    if flow.can_yield(offset):
        return Stage.PRODUCING
    return Stage.FINISHING if flow.can_return(offset) else Stage.CLEANING_UP


@lru_cache(maxsize=512)
def _flow_of(code: CodeType) -> "_Flow":
    return _Flow(code)


class _Place(NamedTuple):
    """What is equal in two instructions that were compiled from the same code."""

    name: str
    positions: Any
    awaited: int | None
    """What an ``await`` is for: to enter a context, to exit it (at the same position), or else."""


class _Flow:
    """Where the instructions of a generator's code lead."""

    def __init__(self, code: CodeType) -> None:
        self._instructions = list(dis.get_instructions(code))
        self._names = {one.offset: one.opname for one in self._instructions}
        self._handlers = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
        self._places = dict(self._find_places())
        edges = list(self._edges())
        self._sources = _grouped((target, source) for source, target in edges)
        targets = _grouped(edges)
        self._without_error = _reached([self._instructions[0].offset], targets)
        self._yielding = self._leading_to(list(self._yields()))
        self._returning = self._leading_to(
            [one.offset for one in self._instructions if one.opname.startswith("RETURN_")]
        )

    def can_yield(self, offset: int) -> bool:
        """Whether an instruction leads to a ``yield``."""
        return not self._yielding or offset in self._yielding

    def can_return(self, offset: int) -> bool:
        """Whether an instruction leads to the end, and not only to raising again."""
        return offset in self._returning

    def is_cleanup(self, offset: int) -> bool:
        """Whether an instruction was compiled twice, once for what the block raises."""
        here = self._places.get(offset)
        if here is not None and here.awaited == _EXITS:
            return True
        copies = [copy for copy, place in self._places.items() if place == here]
        return len(copies) > 1 and not self._without_error.issuperset(copies)

    def end_of_loop(self, offset: int) -> int:
        """Return where an ``async for`` whose next item is waited for goes on after its end."""
        handler = offset
        while self._names[handler] != "END_ASYNC_FOR":
            found = [one.target for one in self._handlers if one.start <= handler < one.end]
            if not found:
                return offset
            handler = found[0]
        return handler

    def _find_places(self) -> Iterator[tuple[int, _Place]]:
        awaited = None
        for one in self._instructions:
            if one.opname in ("GET_AWAITABLE", "GET_ANEXT"):
                awaited = one.arg
            if one.positions is not None and one.positions.col_offset is not None:
                yield one.offset, _Place(one.opname, one.positions, awaited)

    def _yields(self) -> Iterator[int]:
        """Find each ``yield``. The same instruction, without the one before it, is an ``await``."""
        for before, one in zip(self._instructions, self._instructions[1:], strict=False):
            wraps = before.opname == "ASYNC_GEN_WRAP" or (
                before.opname == "CALL_INTRINSIC_1" and before.arg == _ASYNC_GEN_WRAP
            )
            if wraps and one.opname == "YIELD_VALUE":
                yield one.offset

    def _leading_to(self, waiting: list[int]) -> set[int]:
        """Return these instructions and all that lead to them."""
        return _reached(waiting, self._sources)

    def _edges(self) -> Iterator[tuple[int, int]]:
        jumps = {*dis.hasjrel, *dis.hasjabs}
        loops = [one for one in self._handlers if self._names.get(one.target) == "END_ASYNC_FOR"]
        for one, following in zip(self._instructions, [*self._instructions[1:], None], strict=True):
            if following is not None and one.opname not in _NO_FALL_THROUGH:
                yield one.offset, following.offset
            if one.opcode in jumps:
                yield one.offset, one.argval
            for loop in loops:
                if loop.start <= one.offset < loop.end:
                    yield one.offset, loop.target


def _grouped(edges: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    grouped: dict[int, list[int]] = {}
    for source, target in edges:
        grouped.setdefault(source, []).append(target)
    return grouped


def _reached(waiting: list[int], edges: dict[int, list[int]]) -> set[int]:
    """Return these offsets and all that the edges lead to."""
    found = set[int]()
    while waiting:
        offset = waiting.pop()
        if offset not in found:
            found.add(offset)
            waiting += edges.get(offset, ())
    return found
