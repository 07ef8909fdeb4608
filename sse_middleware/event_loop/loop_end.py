"""`LoopEnd`: has a function called when an event loop ends.

An event loop closes its asynchronous generators when it ends: `asyncio.run`, `trio.run` and every
server do that. A hook, `sys.get_asyncgen_hooks`, makes each generator known to the loop. It does
the same for a `LoopEnd`, which is not a generator but is closed like one. The loop keeps it weakly.
"""

import sys
from collections.abc import Callable
from typing import Any, cast


class LoopEnd:
    """Calls a function when the running event loop ends, as long as this object is kept.

    A loop that is closed without closing its generators doesn't call it.

    Args:
        callback: called once, in the loop.
    """

    def __init__(self, callback: Callable[[], object]) -> None:
        self.__qualname__ = type(self).__qualname__  # trio asks a generator for its name
        self._callback = callback
        begun = sys.get_asyncgen_hooks().firstiter
        if begun is not None:
            begun(cast("Any", self))

    async def aclose(self) -> None:
        """Call the function. The event loop does this."""
        self._callback()
