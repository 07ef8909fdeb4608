"""The files of the page, and the headers of what the inspector answers.

Rules of this file:
- Nothing comes from elsewhere, and nothing runs that isn't one of these files. A text that became
  markup by mistake would still do nothing.
- Nothing is kept in caches: all of it is only for those who are allowed to look.
"""

from importlib.resources import files
from types import MappingProxyType

from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""The content security policy."""

HEADERS = MappingProxyType(
    {
        "content-security-policy": POLICY,
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
)
"""Headers of each answer."""

MEDIA_TYPES = MappingProxyType(
    {
        "page.html": "text/html; charset=utf-8",
        "inspector.js": "text/javascript; charset=utf-8",
        "inspector.css": "text/css; charset=utf-8",
        "icon.svg": "image/svg+xml",
    }
)
"""The files."""


def _read(name: str) -> bytes:
    return files("sse_middleware.inspector").joinpath("page", name).read_bytes()


def file_response(name: str) -> Response:
    """Return the response that is a file of the page."""
    return Response(_read(name), media_type=MEDIA_TYPES[name])
