"""`problem_of`: says what is wrong with a connection, in plain words, and what to do about it."""

import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there is no connection."""

    text: str
    final: bool = False
    """Whether another attempt can't help."""


def problem_of(error: Exception, origin: str) -> Problem:
    """Return what an error of httpx means.

    Args:
        error: the error.
        origin: the scheme, the host and the port that were asked.
    """
    for cause in _causes_of(error):
        problem = _of_system(cause, origin)
        if problem is not None:
            return problem
    match error:
        case httpx.LocalProtocolError():
            return Problem(f"the request can't be sent: {error}", final=True)
        case httpx.TooManyRedirects():
            return Problem(f"{origin} redirects again and again", final=True)
        case httpx.UnsupportedProtocol() | httpx.InvalidURL() | UnicodeError():
            return Problem(
                f"nothing can be asked for at {origin}, or where it redirects to: {error}",
                final=True,
            )
    return Problem(f"{_lost(error)} {origin}: {str(error) or type(error).__name__}")


def _lost(error: Exception) -> str:
    match error:
        case httpx.ConnectTimeout():
            return "no connection in time to"
        case httpx.ConnectError():
            return "no connection to"
        case httpx.ProxyError():
            return "the proxy doesn't connect to"
        case httpx.DecodingError():
            return "damaged compression in the stream of"
    return "lost the connection to"


def _of_system(error: BaseException, origin: str) -> Problem | None:
    match error:
        case ConnectionRefusedError():
            return Problem(
                f"nothing listens at {origin}. Does the server run, and is this its port?"
            )
        case socket.gaierror():
            return Problem(f"the host of {origin} is not known. Is its name right?")
        case ssl.SSLCertVerificationError():
            return Problem(
                f"the certificate of {origin} is not trusted: {error.verify_message}. "
                "Name its authority with --cacert FILE, or trust any with -k",
                final=True,
            )
        case ssl.SSLError() if "WRONG_VERSION_NUMBER" in str(error):
            return Problem(
                f"{origin} doesn't speak TLS on this port. Is it http:// instead?", final=True
            )
    return None


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and what a group of errors has."""
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None:
            continue
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
