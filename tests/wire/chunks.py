"""Streams in chunks of any size, and what a client reads in them."""

from collections.abc import Iterable, Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from sse_middleware.wire.decoding import Decoded, EventStreamDecoder, MessageEvent

LENGTHS = st.lists(st.integers(0, 6), max_size=40)

# As many as a second or two allow. A slow machine is not a failure.
thoroughly = settings(max_examples=400)


def message(data: str, type_: str = "message", id_: str = "") -> MessageEvent:
    return MessageEvent(data, type_, id_)


def every_cut(wire: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, byte by byte with nothing between, and at every split into two."""
    bytewise = [wire[at : at + 1] for at in range(len(wire))]
    yield [wire]
    yield bytewise
    yield [chunk for byte in bytewise for chunk in (b"", byte)]
    for at in range(len(wire) + 1):
        yield [wire[:at], wire[at:]]


def decode(chunks: Iterable[bytes], **options: Any) -> list[Decoded]:
    decoder = EventStreamDecoder(**options)
    return [found for chunk in chunks for found in decoder.feed(chunk)]


def cut(wire: bytes, lengths: Iterable[int]) -> Iterator[bytes]:
    """Chunks of these lengths, then the rest."""
    for length in lengths:
        yield wire[:length]
        wire = wire[length:]
    yield wire
