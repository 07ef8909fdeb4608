"""Reads compressed bodies as they arrive."""

import zlib
from importlib import import_module
from typing import Any

import zstandard

CODINGS = ("gzip", "br", "zstd")


def _same(data: bytes) -> bytes:
    return data


class Decompressor:
    """Takes the chunks of one body, and returns what they mean at once."""

    def __init__(self, coding: str) -> None:
        self._decompress: Any = _same
        match coding:
            case "gzip":
                self._decompress = zlib.decompressobj(wbits=31).decompress
            case "br":
                self._decompress = import_module("brotli").Decompressor().process
            case "zstd":
                self._decompress = zstandard.ZstdDecompressor().decompressobj().decompress

    def __call__(self, chunk: bytes) -> bytes:
        decompressed: bytes = self._decompress(chunk)
        return decompressed
