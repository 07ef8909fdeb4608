"""The page: its HTML with the Python of each panel in it, and its files."""

import os
from pathlib import Path
from types import ModuleType

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from .source import highlighted, source_of

STATIC = Path(__file__).with_name("static")

PORTS = os.environ.get("DEMO_PORTS", "")
"""Further ports of this server, separated by commas. `examples.demo.supervisor` says why."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self' http://127.0.0.1:* http://localhost:*; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Nothing comes from elsewhere, and no script is in the page itself."""


def page_of(panels: dict[str, ModuleType]) -> APIRouter:
    """Return the routes of the page. A panel has the name of its place in the page."""
    text = (STATIC / "page.html").read_text("utf-8").replace("{ports}", PORTS)
    for name, module in panels.items():
        text = text.replace(f"{{source of {name}}}", highlighted(source_of(module)))
    router = APIRouter()

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(text, headers={"content-security-policy": POLICY})

    return router
