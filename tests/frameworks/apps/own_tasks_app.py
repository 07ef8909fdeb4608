"""Answers in a task of its own, which no one else can stop, and listens meanwhile.

Django before 6 and Quart before 0.23 do so.
"""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from tests.frameworks.apps.starlette_app import app as inner


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        await inner(scope, receive, send)
        return
    request = await receive()
    answering = asyncio.ensure_future(answer(scope, request, send))
    listening = asyncio.ensure_future(receive())
    await asyncio.wait([answering, listening], return_when=asyncio.FIRST_COMPLETED)
    answering.cancel()
    listening.cancel()
    await asyncio.wait([answering, listening])
    if not answering.cancelled():
        answering.result()


async def answer(scope: Scope, request: Message, send: Send) -> None:
    async def receive() -> Message:
        return request

    # From ASGI 2.4 on, Starlette doesn't listen itself.
    await inner({**scope, "asgi": {"version": "3.0", "spec_version": "2.4"}}, receive, send)
