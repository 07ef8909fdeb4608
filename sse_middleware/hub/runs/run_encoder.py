"""`RunEncoder`: encodes the items of a run. Its events get their ids from the hub."""

from collections.abc import Callable

from sse_middleware.errors import EncodingError
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder


class RunEncoder(ItemEncoder):
    """Encodes the items of one run. ``None`` becomes nothing, because a run has no keep-alives.

    Args:
        encoding: how items become bytes.
    """

    __slots__ = ()

    def __init__(self, encoding: ItemEncoding) -> None:
        super().__init__(encoding, bytes, on_id=bytes)

    def _note_id(self, on_id: Callable[[], object]) -> None:  # noqa: ARG002 - it is refused
        raise EncodingError(
            f"{self._encoding.endpoint} gave an event with an id, and a hub gives its own ids, "
            "which are positions in it: put yours into the data"
        )
