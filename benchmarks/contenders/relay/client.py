"""How each gateway reads the upstream: by one client of httpx, whose address is in UPSTREAM."""

import os
from contextlib import AbstractAsyncContextManager
from functools import cache

import httpx
from starlette.requests import Request

UPSTREAM = os.environ.get("UPSTREAM", "")


@cache
def client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=UPSTREAM, timeout=None, limits=limits, trust_env=False)


def upstream(request: Request) -> AbstractAsyncContextManager[httpx.Response]:
    """Ask the upstream for what the request asks for."""
    path = f"/{request.path_params['scene']}?{request.url.query}"
    return client().stream("GET", path)
