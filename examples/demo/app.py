"""The application of the demo: one line of middleware, and a router for each panel."""

import os

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from sse_middleware import Inspector, SSEMiddleware

from . import chat, compression, legacy, prices, restart, room, silence, slow
from .page import STATIC, page_of
from .shared import hub

PANELS = {
    "prices": prices,
    "chat": chat,
    "room": room,
    "legacy": legacy,
    "silence": silence,
    "restart": restart,
    "compression": compression,
    "slow": slow,
}

PORT = os.environ.get("DEMO_PORT", "8000")

app = FastAPI(title="sse_middleware demo", docs_url=None, redoc_url=None)
app.add_middleware(
    SSEMiddleware,
    hub=hub,
    legacy=[*legacy.ROUTES, *slow.ROUTES],
    observers=[slow.count_sent],
    client_key=lambda connection: connection.headers.get("x-client", "page"),
    drain_grace=0.3,
    refusal="retry",  # an EventSource gives up on a 503
    retry_after=0.5,
)
app.add_middleware(
    CORSMiddleware,  # the page reads some streams from other ports of this server
    allow_origins=[f"http://{host}:{PORT}" for host in ("127.0.0.1", "localhost")],
)
app.include_router(page_of(PANELS))
app.mount("/_sse", Inspector(authorize=None, control=lambda _, action: action != "drain"))
app.mount("/static", StaticFiles(directory=STATIC))
for panel in PANELS.values():
    app.include_router(panel.router)
