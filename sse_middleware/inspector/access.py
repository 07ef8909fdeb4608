"""Who may look, and who may change something.

Rules of this file:
- The application is asked for each request: for the page, its files, its streams, its actions.
- With ``authorize=None`` only this machine is answered, under a name of its own. So a page of
  another site can't read along by a name that it has pointed at this machine. What a proxy passes
  on isn't answered: its client may be anywhere.
- Nothing but the page itself is for other sites, whatever CORS allows in this application.
- An action must come from the page. A browser says where a request comes from, and a script of
  another site can't say otherwise.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Literal
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request

from sse_middleware.guarded import Authorize, is_allowed

Action = Literal["close", "stop", "drain"]
"""What the page can do: close a stream, stop a run, drain the application."""

ACTIONS: tuple[Action, ...] = ("close", "stop", "drain")

Control = Callable[[Request, Action], bool | Awaitable[bool]]
"""Returns whether a request may do that."""

PAGE_HEADER = "x-sse-inspector"
"""A header that the page sends with each action. Other sites would have to ask before."""

_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""Headers of requests that a proxy has passed on."""

_FROM_HERE = ("same-origin", "none")
"""``Sec-Fetch-Site`` of what the page asks for, and of what a person types."""


async def check_access(authorize: Authorize | None, request: Request) -> None:
    """Raise `HTTPException` unless a request may look."""
    if authorize is None:
        if not _is_local(request):
            raise HTTPException(
                403,
                "with authorize=None the inspector answers only at localhost, without a proxy",
            )
    elif not await is_allowed("authorize", authorize, request):
        raise HTTPException(403, "this request may not look at the inspector")


def _is_local(request: Request) -> bool:
    """Whether a request comes from this machine, and calls it by a name that is always its own."""
    client, headers = request.client, request.headers
    name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    named = name == "localhost" or name.endswith(".localhost") or _is_loopback(name)
    # No browser speaks HTTP/1.0, and nginx does where nothing else is set.
    forwarded = any(header in headers for header in _FORWARDED) or _version(request) == "1.0"
    return named and not forwarded and client is not None and _is_loopback(client.host)


def _version(request: Request) -> object:
    return request.scope.get("http_version")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_site(request: Request) -> None:
    """Raise `HTTPException` if another site asks."""
    if request.headers.get("sec-fetch-site", "none") not in _FROM_HERE:
        raise HTTPException(403, "this is for the page of the inspector, and not for other sites")


def check_action(request: Request) -> None:
    """Raise `HTTPException` unless an action comes from the page."""
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin", "")
    if site is None:  # browsers say it only to https and to localhost
        host = urlsplit(origin).netloc
        same = host != "" and host == headers.get("host")
    else:
        same = site == "same-origin"
    if not same or PAGE_HEADER not in headers:
        raise HTTPException(403, "an action must come from the page of the inspector")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "the Content-Type must be application/json")


async def is_controlled(control: Control | bool, request: Request, action: Action) -> bool:  # noqa: FBT001 - as it is given
    """Return whether a request may do something."""
    if isinstance(control, bool):
        return control
    return await is_allowed("control", control, request, action)


async def allowed_actions(control: Control | bool, request: Request) -> list[Action]:  # noqa: FBT001 - as it is given
    """Return what a request may do. A function that refuses one action says nothing of others."""
    allowed: list[Action] = []
    for action in ACTIONS:
        with suppress(HTTPException):
            if await is_controlled(control, request, action):
                allowed.append(action)
    return allowed
