"""How our server reports the number of its tasks."""

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse


async def get_tasks(_request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(asyncio.all_tasks())))
