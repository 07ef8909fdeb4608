"""The wheel in an empty environment: what it needs is installed with it, and the README works."""

import re
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.servers import free_port
from tests.examples.test_app import wait_for
from tests.package.conftest import LONGEST, ROOT, Distributions, Environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(LONGEST)]

README = (ROOT / "README.md").read_text("utf-8")


def shown(language: str) -> str:
    """Return the first block of a language."""
    code: str = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)[0]
    return code


EVERY_NAME = """
import sse_middleware
for name in sse_middleware.__all__:
    getattr(sse_middleware, name)
print(sse_middleware.__file__)
"""


def test_every_public_name_is_there_without_an_extra(environment: Environment) -> None:
    place = environment.run("-c", EVERY_NAME)
    assert "site-packages" in place
    assert str(environment.python.parents[1]) in place


def test_the_command_is_there(environment: Environment) -> None:
    assert "typescript" in environment.run("-m", "sse_middleware", "--help")


@pytest.fixture
def quickstart(environment: Environment, distributions: Distributions) -> Iterator[str]:
    """Install and serve what the README begins with, and return its address."""
    _, _, ours, *others = shown("sh").split()  # pip install sse_middleware ...
    assert ours == "sse_middleware"
    environment.install(str(distributions.wheel), *others)
    (environment.folder / "main.py").write_text(shown("python"), "utf-8")
    port = free_port()
    command = [str(environment.python), "-m", "uvicorn", "main:app", "--port", str(port)]
    with subprocess.Popen(
        command,
        cwd=environment.folder,
        env=environment.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield wait_for(port, process)
        finally:
            process.kill()


def test_the_quickstart_of_the_readme(quickstart: str) -> None:
    [path] = re.findall(r"`curl -N http://localhost:8000(\S+)`", README)
    assert httpx.get(f"{quickstart}{path}", timeout=30).text == shown("text")
