"""What clients do with a coded body: decoders that are fed as the bytes come, and curl."""

import shutil
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

import pytest

from sse_middleware.wire import EventStreamDecoder
from sse_middleware.wire.compression import CODECS
from sse_middleware.wire.decoding import Decoded

from .client import HOST

Decode = Callable[[bytes], bytes]

CURL = shutil.which("curl")

LONGEST = "40"
"""Seconds after which curl gives up, and its output ends."""

_FEATURES = {"gzip": "libz", "br": "brotli", "zstd": "zstd"}
"""What curl says that it is built with, by the coding that it reads by it."""

each_coding = pytest.mark.parametrize("coding", CODECS)


def decoder_of(coding: str) -> Decode:
    """Return what decodes as much as can be decoded of what has come.

    gzip by zlib; br and zstd by other objects than those that the server encodes with, zstd by
    another library.
    """
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    decode: Decode
    if coding == "br":
        decode = import_module("brotli").Decompressor().process
    else:
        decode = _zstd().ZstdDecompressor().decompress
    return decode


def _zstd() -> Any:
    try:
        return import_module("compression.zstd")
    except ImportError:
        return pytest.importorskip("backports.zstd")


@cache
def can_curl(coding: str) -> bool:
    """Whether there is a curl that decodes this."""
    if CURL is None:
        return False
    told = subprocess.run([CURL, "--version"], capture_output=True, text=True, check=True).stdout
    return _FEATURES[coding] in told.lower().replace("zlib", "libz")


@contextmanager
def curl(port: int, target: str, coding: str) -> Iterator[Iterator[Decoded]]:
    """Have curl ask for a coding and decode it; return the events as it writes them."""
    if CURL is None or not can_curl(coding):
        pytest.skip(f"no curl that decodes {coding}")
    options = ["--no-progress-meter", "--no-buffer", "--compressed", "--max-time", LONGEST]
    command = [CURL, *options, "--header", f"accept-encoding: {coding}"]
    url = f"http://{HOST}:{port}{target}"
    with subprocess.Popen([*command, url], stdout=subprocess.PIPE) as process:
        try:
            yield _events(process)
        finally:
            process.kill()


def _events(process: "subprocess.Popen[bytes]") -> Iterator[Decoded]:
    assert process.stdout is not None
    decoder = EventStreamDecoder()
    for line in process.stdout:
        yield from decoder.feed(line)
    assert process.wait() == 0
