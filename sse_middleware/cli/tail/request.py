"""`Request`: what is asked for, from arguments as curl has them.

Rules of this file:
- What curl accepts means here what it means there. ``-d @file`` drops the line ends of the file,
  several ``-d`` are joined by ``&``, ``-H "Name:"`` takes a default header away, ``-H "Name;"``
  sends an empty one, and a URL without a scheme is of ``http``.
- A body is read once, before the first request, so that a retry sends the same one.
- What can't be sent is refused here, with a message that names the argument.
"""

import os
import re
import signal
import sys
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from sse_middleware import __version__
from sse_middleware.errors import ConfigurationError

DataKind = Literal["data", "raw", "binary", "json"]

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_VALUE = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")

_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")

_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f]")

_LONGEST_LABEL = 63
"""Characters of a part of a host's name."""


@dataclass(frozen=True, slots=True)
class Data:
    """One argument with data for the body."""

    kind: DataKind
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request that can be sent again and again."""

    method: str
    url: str
    headers: tuple[tuple[bytes, bytes], ...]
    without: tuple[str, ...]
    """Names of headers that are not sent, though a client sends them by default."""
    body: bytes | None = None

    @property
    def origin(self) -> str:
        """The scheme, the host and the port, without a user's name and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def request_of(
    url: str,
    *,
    method: str | None = None,
    headers: Iterable[str] = (),
    data: Sequence[Data] = (),
    user: str | None = None,
    cookies: Iterable[str] = (),
    agent: str | None = None,
) -> Request:
    """Return the request of arguments. It reads the files of a body, and asks for a password.

    Raises:
        ConfigurationError: an argument can't work.
    """
    given, without = _headers_of(headers)
    body = _body_of(data) if data else None
    method = method or ("GET" if body is None else "POST")
    if not _METHOD.fullmatch(method):
        raise ConfigurationError(f"-X {method!r}: a method has capital letters, such as POST")
    defaults = [
        (b"accept", b"text/event-stream"),
        (b"cache-control", b"no-cache"),
        (b"user-agent", os.fsencode(agent or f"sse_middleware/{__version__}")),
    ]
    if body is not None:
        defaults.append((b"content-type", JSON if data[0].kind == "json" else FORM))
    if user is not None:
        defaults.append(
            (b"authorization", b"Basic " + b64encode(os.fsencode(_with_password(user))))
        )
    if cookie := "; ".join(cookies):
        defaults.append((b"cookie", os.fsencode(cookie)))
    for name, value in defaults:
        _check_value(name.decode(), value)
    named = {name.lower() for name, _ in given} | {name.encode() for name in without}
    added = [one for one in defaults if one[0] not in named]
    return Request(method, checked_url(url), (*added, *given), tuple(without), body)


def checked_url(url: str) -> str:
    """Return a URL with its scheme.

    Raises:
        ConfigurationError: nothing can be asked for there.
    """
    if url.startswith(("{", "[")):
        raise ConfigurationError(
            "the URL looks like JSON: --json is about the output and takes no value. "
            "Send JSON with --data-json"
        )
    whole = url if _SCHEME.match(url) else f"http://{url}"
    if _NOT_IN_URL.search(whole):
        raise ConfigurationError(f"the URL {url!r} has a space or a control character")
    try:
        parts = urlsplit(whole)
        _check_parts(parts)
    except ValueError as error:
        raise ConfigurationError(f"the URL {url!r} is not valid: {error}") from None
    return whole


def _check_parts(parts: SplitResult) -> None:
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"its scheme is {parts.scheme!r}, not http or https")
    if not parts.hostname:
        raise ValueError("it has no host")
    if any(not 0 < len(one) <= _LONGEST_LABEL for one in parts.hostname.rstrip(".").split(".")):
        raise ValueError("a part of its host is empty or too long")
    _ = parts.port  # raises for what is no port


def _headers_of(lines: Iterable[str]) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """Return the headers to send, and the names of those not to send."""
    found: list[tuple[bytes, bytes]] = []
    without: list[str] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon and name.endswith(";"):
            name, colon, value = name[:-1], ":", "-"
            found.append((_header_name(name, line), b""))
        elif not value.strip() and colon:
            without.append(_header_name(name, line).decode().lower())
        elif colon:
            sent = os.fsencode(value.strip())
            _check_value(name, sent)
            found.append((_header_name(name, line), sent))
        else:
            raise ConfigurationError(f"-H {line!r}: a header is written 'Name: value'")
    return found, without


def _header_name(name: str, line: str) -> bytes:
    found = os.fsencode(name.strip())
    if not _NAME.fullmatch(found):
        raise ConfigurationError(f"-H {line!r}: {name!r} is no name of a header")
    return found


def _check_value(name: str, value: bytes) -> None:
    if not _VALUE.fullmatch(value):
        raise ConfigurationError(f"the header {name!r} can't have a control character in its value")


def _body_of(data: Sequence[Data]) -> bytes:
    json = [one.kind == "json" for one in data]
    if any(json) and not all(json):
        raise ConfigurationError("--data-json can't be joined with -d, which sends a form")
    return (b"" if any(json) else b"&").join(_bytes_of(one) for one in data)


def _bytes_of(data: Data) -> bytes:
    if data.kind == "raw" or not data.text.startswith("@"):
        return os.fsencode(data.text)
    content = _content_of(data.text[1:])
    if data.kind == "data":
        return content.translate(None, b"\r\n\0")
    return content


@contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process within the block, where Python would not see it.

    Python looks for signals before and after each read. One that comes in between is not seen
    until the next piece comes, and that may be never.
    """
    before = signal.getsignal(signal.SIGINT)
    is_pythons = before is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_DFL if is_pythons else before)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _content_of(name: str) -> bytes:
    if name == "-":
        if sys.stdin is None:
            raise ConfigurationError("there is no stdin to read data from")
        with _ended_by_interrupt():
            return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"can't read the data in {name!r}: {error.strerror}") from error


def _with_password(user: str) -> str:
    if ":" in user:
        return user
    return f"{user}:{getpass(f'Password of {user}: ')}"
