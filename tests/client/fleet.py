"""Servers that share a hub in a file. Some of them are killed, or told to stop, and start again."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tests.e2e.certificate import self_signed
from tests.e2e.client import HOST
from tests.e2e.nginx import NGINX, proxied
from tests.e2e.servers import STOPPING, Kind, free_port, started, wait_until_it_accepts
from tests.must_run import missing

APP = ("uvicorn", "tests.client.resumed_app:app", "--host", HOST, "--port", "{port}")


class Member:
    """A server, always on the same port."""

    def __init__(self, output: Path, hub: str, *options: str) -> None:
        self.port = free_port()
        self.output = output
        self._kind = Kind("uvicorn", (*APP, "--log-level", "warning", *options))
        self._hub = hub
        self.start()

    def start(self) -> None:
        """Start it, also again."""
        with self.output.open("ab") as file:
            self.process = started(self._kind, self.port, file.fileno(), {"HUB_URL": self._hub})

    def wait_until_it_accepts(self) -> None:
        wait_until_it_accepts(self.process, self.port, self.output)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


class Fleet:
    """A server that publishes, and others that are read.

    Attributes:
        urls: what is read, by a name of the way.
    """

    def __init__(self, publisher: Member, read: Sequence[Member], urls: dict[str, str]) -> None:
        self.urls = urls
        self.last = 0
        self._publisher = publisher
        self._read = read

    def publish(self, count: int) -> None:
        """Publish the next numbers."""
        numbers = list(range(self.last + 1, self.last + 1 + count))
        url = f"http://{HOST}:{self._publisher.port}/publish"
        httpx.post(url, json=numbers, timeout=30).raise_for_status()
        self.last += count

    def kill(self) -> None:
        for member in self._read:
            member.kill()

    def stop(self) -> None:
        """Have them end as in a deployment: they say farewell to their streams."""
        for member in self._read:
            member.process.terminate()
        for member in self._read:
            member.process.wait(STOPPING)

    def start(self) -> None:
        for member in self._read:
            member.start()
        for member in self._read:
            member.wait_until_it_accepts()


@contextmanager
def fleet(directory: Path) -> Iterator[Fleet]:
    """Run them as long as the block lasts. Two are read: one with TLS, and one behind nginx too."""
    if NGINX is None:
        missing("nginx")
    hub = f"sqlite:///{directory / 'events.db'}"
    certificate, key = self_signed(directory)
    secure = ("--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    with ExitStack() as stack:

        def member(name: str, *options: str) -> Member:
            found = Member(directory / name, hub, *options)
            stack.callback(found.kill)
            return found

        publisher, plain, tls = member("publisher"), member("plain"), member("tls", *secure)
        for one in (publisher, plain, tls):
            one.wait_until_it_accepts()
        proxy = stack.enter_context(proxied(plain.port, directory / "nginx"))
        urls = {
            "direct": f"http://{HOST}:{plain.port}",
            "nginx": f"http://{HOST}:{proxy.defaults}",
            "nginx as documented": f"http://{HOST}:{proxy.documented}",
            "tls": f"https://{HOST}:{tls.port}",
        }
        yield Fleet(publisher, [plain, tls], urls)
        for one in (publisher, plain, tls):
            assert "Traceback" not in one.output.read_text(), one.output.read_text()
