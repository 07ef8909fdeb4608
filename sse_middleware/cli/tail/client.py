"""`client_of`: the httpx client of the arguments about connections and certificates."""

import ssl

import httpx

from sse_middleware.errors import ConfigurationError


def client_of(connect_timeout: float, *, insecure: bool, cacert: str | None) -> httpx.AsyncClient:
    """Return a client. Only a connection has a timeout: a stream may be silent for hours.

    Args:
        connect_timeout: seconds that a connection may take.
        insecure: trust any certificate.
        cacert: a file of authorities to trust instead of the usual ones.

    Raises:
        ConfigurationError: the file can't be read, or a proxy of the environment can't work.
    """
    verify: bool | ssl.SSLContext = not insecure
    if cacert is not None:
        verify = _context_of(cacert)
    try:
        return httpx.AsyncClient(
            verify=verify, timeout=httpx.Timeout(None, connect=connect_timeout)
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise ConfigurationError(f"the proxy of the environment can't work: {error}") from error


def _context_of(cacert: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=cacert)
    except OSError as error:  # an SSLError is one
        reason = error.strerror or error
        raise ConfigurationError(f"--cacert {cacert!r}: {reason}") from error
