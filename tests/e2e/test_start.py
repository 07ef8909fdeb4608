"""A mistake in an application keeps its server from starting."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

MISPLACED = """
from fastapi import FastAPI
from sse_middleware import SSEMiddleware, event_stream

app = FastAPI()
app.add_middleware(SSEMiddleware)

@event_stream
@app.get("/")
async def events():
    yield 1
"""

CHECKED = """
from starlette.applications import Starlette
from sse_middleware import SSEMiddleware

app = Starlette()
app.add_middleware(SSEMiddleware, **SSEMiddleware.checked(ping=15))
"""

UNCHECKED = """
from starlette.applications import Starlette
from sse_middleware import SSEMiddleware

app = Starlette()
app.add_middleware(SSEMiddleware, ping=15)
"""


@pytest.mark.parametrize(
    ("program", "lifespan", "message"),
    [
        (MISPLACED, "auto", "@event_stream has no effect above the route's decorator"),
        (MISPLACED, "on", "@event_stream has no effect above the route's decorator"),
        (CHECKED, "auto", "ping must be a comment's text"),
        (CHECKED, "off", "ping must be a comment's text"),
        (UNCHECKED, "on", "ping must be a comment's text"),
    ],
)
def test_uvicorn_does_not_start(tmp_path: Path, program: str, lifespan: str, message: str) -> None:
    (tmp_path / "mistaken.py").write_text(program)
    options = ["--app-dir", str(tmp_path), "--port", "0", "--lifespan", lifespan]
    ended = subprocess.run(
        [sys.executable, "-m", "uvicorn", "mistaken:app", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert ended.returncode != 0
    assert message in ended.stderr
