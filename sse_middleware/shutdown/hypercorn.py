"""How hypercorn says that it stops.

Its workers ignore signals and poll an event, and a caller of its `serve` may give a
``shutdown_trigger``. Next to the requests, tasks named ``raise_shutdown`` wait for that. The first
of them to end stops the server, so we listen for their end. They begin after the startup of the
lifespan, so a listener that begins there hears signals only.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any


def listen_in_asyncio(hear: Callable[[], object]) -> Callable[[], object] | None:
    """Have `hear` called when hypercorn stops serving in this loop.

    Returns:
        What ends that, ``None`` if hypercorn doesn't serve.
    """
    waiting = [task for task in asyncio.all_tasks() if _waits_for_shutdown(task.get_coro())]

    def on_done(_task: asyncio.Task[Any]) -> None:
        hear()

    def leave() -> None:
        for task in waiting:
            task.remove_done_callback(on_done)

    for task in waiting:
        task.add_done_callback(on_done)
    return leave if waiting else None


def listen_in_trio(hear: Callable[[], object]) -> Callable[[], object] | None:
    """As `listen_in_asyncio`, by a task in the same nursery as hypercorn's, cancelled with it."""
    import trio  # noqa: PLC0415 - trio is optional, and is running here

    async def watch() -> None:
        with scope:
            try:
                await trio.sleep_forever()
            finally:
                if not scope.cancel_called:
                    hear()

    scope = trio.CancelScope()
    for task in _siblings_of_ancestors(trio.lowlevel.current_task()):
        if _waits_for_shutdown(task.coro):
            task.parent_nursery.start_soon(watch)
            return scope.cancel
    return None


def _siblings_of_ancestors(task: Any) -> Iterable[Any]:
    """Yield the children of each trio task above one, from the nearest on."""
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        for nursery in task.child_nurseries:
            yield from nursery.child_tasks


def _waits_for_shutdown(coroutine: Any) -> bool:
    """Whether the end of this coroutine is the end of hypercorn's serving."""
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None or frame.f_code.co_name != "raise_shutdown":
        return False
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "hypercorn"
