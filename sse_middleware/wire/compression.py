"""Compression of a stream. Each write is flushed, so no event waits for the next one.

Rules of this file:
- A codec keeps one context for the whole stream, so later events shrink to what is new in them. The
  contexts are small, because an idle stream keeps its context too.
- The client chooses among the codecs that are offered (RFC 9110, 12.5.3).
- A setting that names a codec without its package is refused.

JSON events of 82 bytes, each flushed (5,000 events, CPython 3.13; contexts as in `benchmarks`):

| codec | bytes per event | microseconds per event | context, new and long stream | needs |
|---|---|---|---|---|
| gzip | 20 | 8 | 35, 35 KiB | the standard library |
| zstd | 24 | 6 | 68, 97 KiB | Python 3.14, or zstandard |
| br | 22 | 21 | 281, 713 KiB | brotli |

So gzip comes first if the client leaves the choice: the others take more bytes and more memory.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol

from sse_middleware.errors import ConfigurationError


class Codec(Protocol):
    """Compresses one stream."""

    def compress(self, frames: bytes) -> bytes:
        """Return the bytes that complete all frames so far for the client."""

    def finish(self) -> bytes:
        """Return the end of the compressed body."""


class Gzip:
    """Uses a window of 4 KiB.

    Compared with the largest window, it takes a sixth of the memory and two more bytes per event.
    ``memLevel`` 5 has tables as large as this window can use. Level 6 takes 10 KiB more and saves
    no byte.
    """

    def __init__(self) -> None:
        self._context = zlib.compressobj(level=6, wbits=16 + 12, memLevel=5)

    def compress(self, frames: bytes) -> bytes:
        """Return the compressed frames, up to a byte boundary."""
        return self._context.compress(frames) + self._context.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """Return the trailer."""
        return self._context.flush(zlib.Z_FINISH)


class Brotli:
    """Uses quality 5 and a window of 64 KiB. Only a lower quality would take less memory."""

    def __init__(self) -> None:
        self._context = import_module("brotli").Compressor(quality=5, lgwin=16)

    def compress(self, frames: bytes) -> bytes:
        """Return the compressed frames, up to a byte boundary."""
        compressed: bytes = self._context.process(frames) + self._context.flush()
        return compressed

    def finish(self) -> bytes:
        """Return the last block."""
        last: bytes = self._context.finish()
        return last


class Zstandard:
    """Uses level 1 with a window of 16 KiB and a table of 4,096 hashes.

    The level's default sizes take 519 KiB in a long stream and save no byte.
    """

    def __init__(self) -> None:
        self._context, self._flush, self._end = _zstd_context()

    def compress(self, frames: bytes) -> bytes:
        """Return the compressed frames, up to the end of a block."""
        compressed: bytes = self._context.compress(frames) + self._context.flush(self._flush)
        return compressed

    def finish(self) -> bytes:
        """Return the end of the frame."""
        last: bytes = self._context.flush(self._end)
        return last


_ZSTD_SIZES = MappingProxyType({"window_log": 14, "hash_log": 12})
"""Exponents of powers of two."""


def _zstd_context() -> tuple[Any, int, int]:
    """Return a context, and its modes for flushing a block and for ending the frame."""
    try:
        zstd = import_module("compression.zstd")
    except ImportError:
        zstandard = import_module("zstandard")
        parameters = zstandard.ZstdCompressionParameters.from_level(1, **_ZSTD_SIZES)
        context = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        return context, zstandard.COMPRESSOBJ_FLUSH_BLOCK, zstandard.COMPRESSOBJ_FLUSH_FINISH
    options = {getattr(zstd.CompressionParameter, name): _ZSTD_SIZES[name] for name in _ZSTD_SIZES}
    options[zstd.CompressionParameter.compression_level] = 1
    context = zstd.ZstdCompressor(options=options)
    return context, context.FLUSH_BLOCK, context.FLUSH_FRAME


CODECS: Mapping[str, Callable[[], Codec]] = MappingProxyType(
    {"gzip": Gzip, "zstd": Zstandard, "br": Brotli}
)
"""The codecs by their names in ``Content-Encoding``, the preferred one first."""

_MODULES = MappingProxyType(
    {"gzip": (), "zstd": ("zstandard", "compression.zstd"), "br": ("brotli",)}
)
"""The modules of which a codec needs one; gzip needs none."""


def offered(compression: bool | Sequence[str]) -> tuple[str, ...]:  # noqa: FBT001 - a setting
    """Return the names of the codecs that a setting offers, in its order.

    Raises:
        ConfigurationError: a name is unknown, or its package is missing.
    """
    if compression is False:
        return ()
    if compression is True:
        return tuple(name for name in CODECS if _is_available(name))
    for name in compression:
        if name not in CODECS:
            known = ", ".join(map(repr, CODECS))
            raise ConfigurationError(
                f"compression must be a list of names from {known}, got {compression!r}"
            )
        if not _is_available(name):
            raise ConfigurationError(
                f"compression with {name!r} needs a package: pip install 'sse_middleware[{name}]'"
            )
    return tuple(compression)


def _is_available(name: str) -> bool:
    """Whether a module of the codec can be imported.

    To create a context instead would cost each stream a second one.
    """
    modules = _MODULES[name]
    return not modules or any(_is_importable(module) for module in modules)


def _is_importable(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
