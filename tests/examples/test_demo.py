"""The demo's server: its ports, its restarts, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.browser.demo import Demo, serving_demo
from tests.e2e.servers import free_port, wait_until_it_accepts
from tests.patience import PATIENCE

from .test_app import read

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with serving_demo(tmp_path_factory.mktemp("demo") / "output") as demo:
        yield demo


def test_the_page_has_nothing_from_elsewhere(demo: Demo) -> None:
    page = httpx.get(demo.url, timeout=PATIENCE)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "//" not in page.text.replace("http://www.w3.org/2000/svg", "")
    assert "{source of" not in page.text
    assert demo.url in demo.output.read_text()


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(demo: Demo) -> None:
    with httpx.stream("GET", f"{demo.url}/numbers", timeout=PATIENCE) as response:
        hello, first = read(response, 2)
    os.kill(json.loads(hello.data)["worker"], signal.SIGKILL)
    headers = {"last-event-id": first.last_event_id}
    with httpx.stream("GET", f"{demo.url}/numbers", headers=headers, timeout=PATIENCE) as response:
        again, *others = read(response, 4)
    assert again.data != hello.data
    number, *following = (json.loads(event.data)["number"] for event in (first, *others))
    assert following == [number + 1, number + 2, number + 3]


def demo_process(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "examples", "--no-open", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_port_that_is_taken_and_was_asked_for_is_an_error() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as taken,
        demo_process("--port", str(taken.getsockname()[1])) as process,
    ):
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert "can't be used: Address already in use" in output


def test_another_port_is_taken_if_nobody_has_asked_for_one() -> None:
    """Whether or not something listens at 8000, one of two demos takes another port."""
    with demo_process() as first, demo_process() as second:
        addresses = []
        for process in (first, second):
            assert process.stdout
            line = next(line for line in process.stdout if "http://" in line)
            addresses.append(line.split()[-1])
        for process in (first, second):
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
    assert len(set(addresses)) == 2


def test_interrupted_it_tells_its_streams_and_ends(tmp_path: Path) -> None:
    port, output = free_port(), tmp_path / "output"
    with output.open("wb") as file:
        command = [sys.executable, "-m", "examples", "--no-open", "--port", str(port)]
        # Its own session, so that the whole group gets the signal, as from a terminal.
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    with process:
        wait_until_it_accepts(process, port, output)
        with httpx.stream("GET", f"http://127.0.0.1:{port}/numbers", timeout=PATIENCE) as response:
            chunks = response.iter_text()
            assert "hello" in next(chunks)
            os.killpg(process.pid, signal.SIGINT)
            assert "event: farewell" in "".join(chunks)
        assert process.wait(PATIENCE) == 0
    assert "Traceback" not in output.read_text()


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    with (
        serving_demo(tmp_path / "output") as demo,
        httpx.stream("GET", f"{demo.url}/numbers", timeout=PATIENCE) as response,
    ):
        chunks = response.iter_text()
        assert "hello" in next(chunks)
        demo.process.kill()
        assert "event: farewell" in "".join(chunks)
