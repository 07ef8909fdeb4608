"""The recipes of other frameworks: docs/recipes/django.md and its neighbours."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from sse_middleware.testing import EventClient
from tests.docs.pages import DOCS, ROOT, blocks_of, missing_imports, run_page

pytestmark = pytest.mark.anyio

EVENTS = {"accept": "text/event-stream"}


@pytest.fixture
def anyio_backend() -> str:
    """Use threads, which virtual time doesn't have, and what only asyncio can do."""
    return "asyncio"


def needed(name: str, number: int = 0) -> str:
    """Return a block of Python of a page, if its packages are here, or skip the test."""
    code = blocks_of(DOCS / "recipes" / f"{name}.md", "python")[number].code
    if missing := missing_imports(code):
        pytest.skip(f"there is no {', '.join(missing)}")
    return code


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs the first block of a page, once in a process."""

    def run(name: str) -> Any:
        module = f"recipe_of_{name}"
        if module not in sys.modules:
            page = type(sys)(module)
            sys.modules[module] = page
            exec(compile(needed(name), f"{name}.md", "exec", dont_inherit=True), vars(page))
        return sys.modules[module].__dict__["app"]

    return run


def shown(name: str) -> str:
    [block] = blocks_of(DOCS / "recipes" / f"{name}.md", "text")
    return block.code


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("django", "/clock"),
        ("flask", "/rows"),
        ("litestar", "/clock"),
    ],
)
async def test_the_stream_is_as_it_is_shown(run: Any, name: str, path: str) -> None:
    needed(name)
    async with EventClient(run(name), timeout=60) as client:
        answer = await client.http.get(path, headers=EVENTS)
    assert answer.text == shown(name)


def test_streams_beside_flask_know_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    needed("flask", 1)
    names = run_page(DOCS / "recipes" / "flask.md", monkeypatch)
    names["flask"].secret_key = "secret"
    client = names["flask"].test_client()
    with client.session_transaction() as session:
        session["user"] = "ann"
    cookie = f"session={client.get_cookie('session').value}"

    def user_with(cookie: str) -> Any:
        headers = [(b"cookie", cookie.encode())]
        return names["user_of"](Request({"type": "http", "headers": headers}))

    assert user_with(cookie) == "ann"
    for wrong in ("", "session=forged"):
        with pytest.raises(HTTPException):
            user_with(wrong)


SIGNED_IN = """
import anyio, streams
from django.core.management import call_command
from django.contrib.auth.models import User
from sse_middleware.testing import EventClient

call_command("migrate", verbosity=0)
ann = User.objects.create_user("ann")
session = streams.SessionStore()
session["_auth_user_id"] = str(ann.pk)
session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
session["_auth_user_hash"] = ann.get_session_auth_hash()
session.create()


async def main():
    async with EventClient(streams.app, timeout=60) as client:
        assert (await client.get("/notifications")).status_code == 401
        headers = {"cookie": f"sessionid={session.session_key}"}
        async with client.stream("GET", "/notifications", headers=headers) as events:
            await events.next_id()
            await streams.hub.publish(f"user:{ann.pk}", {"shipped": 7})
            assert (await events.next()).json() == {"shipped": 7}


anyio.run(main)
"""

SETTINGS = """
SECRET_KEY = "secret"
INSTALLED_APPS = [
    f"django.contrib.{name}" for name in ("contenttypes", "auth", "sessions")
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}
"""


def test_streams_beside_django_know_its_users(tmp_path: Path) -> None:
    code = needed("django", 2)
    assert 'Hub("redis://localhost:6379/0")' in code
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "settings.py").write_text(SETTINGS)
    (tmp_path / "streams.py").write_text(code.replace('"redis://localhost:6379/0"', ""))
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run(
        [sys.executable, "-c", SIGNED_IN],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        check=True,
    )
