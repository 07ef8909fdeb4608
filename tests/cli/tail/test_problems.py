"""Each failure of a connection is one line that says what to do."""

import socket
import ssl
from collections.abc import Callable

import httpx
import pytest

from sse_middleware.cli.tail.problems import problem_of

ORIGIN = "https://example.org"


def raised_from(error: Exception, *causes: BaseException) -> Exception:
    """Chain errors, as httpx does."""
    last: BaseException = error
    for cause in causes:
        last.__cause__ = cause
        last = cause
    return error


def verification() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


CONNECT = httpx.ConnectError("All connection attempts failed")


@pytest.mark.parametrize(
    ("make", "text", "final"),
    [
        (
            lambda: raised_from(
                CONNECT, OSError("all failed"), ConnectionRefusedError(111, "refused")
            ),
            "nothing listens at https://example.org. Does the server run, and is this its port?",
            False,
        ),
        (
            lambda: raised_from(
                CONNECT, ExceptionGroup("several", [ConnectionRefusedError(111, "refused")])
            ),
            "nothing listens at https://example.org. Does the server run, and is this its port?",
            False,
        ),
        (
            lambda: raised_from(CONNECT, socket.gaierror(-2, "Name or service not known")),
            "the host of https://example.org is not known. Is its name right?",
            False,
        ),
        (
            lambda: raised_from(httpx.ConnectError("failed"), verification()),
            (
                "the certificate of https://example.org is not trusted: self-signed certificate. "
                "Name its authority with --cacert FILE, or trust any with -k"
            ),
            True,
        ),
        (
            lambda: raised_from(
                httpx.ConnectError("failed"), ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong")
            ),
            "https://example.org doesn't speak TLS on this port. Is it http:// instead?",
            True,
        ),
        (
            lambda: raised_from(httpx.ConnectError("handshake"), ssl.SSLError(1, "[SSL] else")),
            "no connection to https://example.org: handshake",
            False,
        ),
        (
            lambda: httpx.ConnectTimeout(""),
            "no connection in time to https://example.org: ConnectTimeout",
            False,
        ),
        (
            lambda: httpx.ProxyError("403 Forbidden"),
            "the proxy doesn't connect to https://example.org: 403 Forbidden",
            False,
        ),
        (
            lambda: httpx.DecodingError("Error -3"),
            "damaged compression in the stream of https://example.org: Error -3",
            False,
        ),
        (
            lambda: httpx.ReadError(""),
            "lost the connection to https://example.org: ReadError",
            False,
        ),
        (
            lambda: httpx.LocalProtocolError("Illegal header value"),
            "the request can't be sent: Illegal header value",
            True,
        ),
        (
            lambda: httpx.TooManyRedirects("20"),
            "https://example.org redirects again and again",
            True,
        ),
        (
            lambda: httpx.UnsupportedProtocol("ftp"),
            "nothing can be asked for at https://example.org, or where it redirects to: ftp",
            True,
        ),
        (
            lambda: httpx.InvalidURL("bad"),
            "nothing can be asked for at https://example.org, or where it redirects to: bad",
            True,
        ),
    ],
)
def test_a_problem(make: Callable[[], Exception], text: str, final: bool) -> None:
    problem = problem_of(make(), ORIGIN)
    assert (problem.text, problem.final) == (text, final)
