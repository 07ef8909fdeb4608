"""`Compressor`: compresses the messages of a stream.

Each message ends in a flush, so no event waits for the next one. A large message is compressed in a
worker thread.
"""

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync

from sse_middleware.wire.compression import Codec

OFF_THE_LOOP = 32 * 1024
"""A message of this many bytes is compressed in a worker thread. Compressing it takes 0.5 ms,
switching threads 0.1 ms."""

COMPRESSING_THREADS = 4
"""Threads that compress large messages at the same time. More don't help: each write waits for only
one of them."""

_COMPRESSORS: RunVar[CapacityLimiter] = RunVar("sse_middleware.compressors")
"""The limiter of these threads: one for all streams of an event loop, with and without the
middleware."""


class Compressor:
    """Compresses one stream.

    Args:
        codec: compresses the bytes.
    """

    __slots__ = ("_codec", "finish")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.finish = codec.finish
        """Returns the end of the compressed body."""

    async def compress(self, frames: bytes) -> bytes:
        """Return a message that completes all frames so far for the client."""
        if len(frames) < OFF_THE_LOOP:
            return self._codec.compress(frames) if frames else b""
        return await run_sync(self._codec.compress, frames, limiter=_compressors())


def _compressors() -> CapacityLimiter:
    try:
        return _COMPRESSORS.get()
    except LookupError:
        limiter = CapacityLimiter(COMPRESSING_THREADS)
        _COMPRESSORS.set(limiter)
        return limiter
