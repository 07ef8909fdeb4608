"""Compression of a stream, flushed at each write, so that no event waits for the next one.

Rules of this file:
- A codec keeps one context for the whole stream: later events are short, since the earlier ones are
  known. The defaults are small, since an idle stream keeps its context too.
- Which codec is used is the client's choice among those that are offered (RFC 9110, 12.5.3).
- A codec whose package is missing is refused when it is configured.

Of JSON events of 82 bytes, each flushed (measured with 5,000 of them on CPython 3.13):

| codec | bytes an event | microseconds | context, young and old | needs |
|---|---|---|---|---|
| gzip | 20 | 8 | 35, 36 KiB | the standard library |
| zstd | 24 | 6 | 68, 98 KiB | Python 3.14, or zstandard |
| br | 22 | 21 | 281, 734 KiB | brotli |

So gzip comes first where the client leaves the choice: a flush costs the others more.
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
        """Return what a client needs to read all frames so far."""

    def finish(self) -> bytes:
        """Return the end of the compressed body."""


class Gzip:
    """A window of 4 KiB: a sixth of the memory, and two bytes an event more than the largest one.

    The tables of ``memLevel`` 5 are as large as what such a window can use: those of 6 take
    10 KiB more, and save no byte.
    """

    def __init__(self) -> None:
        self._context = zlib.compressobj(level=6, wbits=16 + 12, memLevel=5)

    def compress(self, frames: bytes) -> bytes:
        """Return the frames up to a byte boundary."""
        return self._context.compress(frames) + self._context.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """Return the trailer."""
        return self._context.flush(zlib.Z_FINISH)


class Brotli:
    """Quality 5 and a window of 64 KiB. No other sizes take less memory, but less quality does."""

    def __init__(self) -> None:
        self._context = import_module("brotli").Compressor(quality=5, lgwin=16)

    def compress(self, frames: bytes) -> bytes:
        """Return the frames up to a byte boundary."""
        compressed: bytes = self._context.process(frames) + self._context.flush()
        return compressed

    def finish(self) -> bytes:
        """Return the last block."""
        last: bytes = self._context.finish()
        return last


class Zstandard:
    """Level 1 with a window of 16 KiB and a table of 4,096 hashes.

    Its own defaults for the level take 519 KiB in a long stream, for not a byte less.
    """

    def __init__(self) -> None:
        self._context, self._flush, self._end = _zstd_context()

    def compress(self, frames: bytes) -> bytes:
        """Return the frames up to the end of a block."""
        compressed: bytes = self._context.compress(frames) + self._context.flush(self._flush)
        return compressed

    def finish(self) -> bytes:
        """Return the end of the frame."""
        last: bytes = self._context.flush(self._end)
        return last


_ZSTD_SIZES = MappingProxyType({"window_log": 14, "hash_log": 12})
"""As powers of two."""


def _zstd_context() -> tuple[Any, int, int]:
    """Return a context, and how it is told to flush a block and to end."""
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
"""By their names in ``Content-Encoding``, the best first."""


_MODULES = MappingProxyType(
    {"gzip": (), "zstd": ("zstandard", "compression.zstd"), "br": ("brotli",)}
)
"""What each needs one of, if it needs any."""


def offered(compression: bool | Sequence[str]) -> tuple[str, ...]:  # noqa: FBT001 - a setting
    """Return the names of the codecs that a setting offers, in its order.

    Raises:
        ConfigurationError: an unknown name, or one whose package is missing.
    """
    if compression is False:
        return ()
    if compression is True:
        return tuple(name for name in CODECS if _works(name))
    for name in compression:
        if name not in CODECS:
            known = ", ".join(map(repr, CODECS))
            raise ConfigurationError(f"compression must be of {known}, got {compression!r}")
        if not _works(name):
            raise ConfigurationError(
                f"compression by {name!r} needs a package: pip install 'sse_middleware[{name}]'"
            )
    return tuple(compression)


def _works(name: str) -> bool:
    """Whether a module of the codec is there. To make a context would cost each stream one more."""
    modules = _MODULES[name]
    return not modules or any(_is_there(module) for module in modules)


def _is_there(module: str) -> bool:
    try:
        import_module(module)
    except ImportError:
        return False
    return True
