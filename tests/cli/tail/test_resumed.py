"""Servers with a hub are killed, stopped and started again: nothing is lost or comes twice."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.tail.running import Tail, ran
from tests.client.fleet import Fleet, fleet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SOME = 40


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as servers:
        yield servers


class Reader:
    """A command that reads the numbers on one way."""

    def __init__(self, stack: ExitStack, url: str, *arguments: str) -> None:
        options = ("--json", "--retry-delay", "0.05", "--max-retry-delay", "0.2")
        self.tail = stack.enter_context(Tail(f"{url}/numbers", *options, *arguments))

    def until(self, number: int) -> None:
        self.tail.until(lambda: any(f'"data": "{number}"' in line for line in self.tail.out))

    def until_told(self, text: str) -> None:
        self.tail.until(lambda: any(text in line for line in self.tail.err))


def test_nothing_is_lost_and_nothing_comes_twice(servers: Fleet, tmp_path: Path) -> None:
    trusted = ("--cacert", str(tmp_path / "certificate.pem"))
    with ExitStack() as stack:
        readers = {
            "direct": Reader(stack, servers.urls["direct"]),
            "nginx": Reader(stack, servers.urls["nginx"]),
            "nginx as documented": Reader(stack, servers.urls["nginx as documented"]),
            "tls": Reader(stack, servers.urls["tls"], *trusted),
        }

        def until_all_have_the_last() -> None:
            for reader in readers.values():
                reader.until(servers.last)

        for reader in readers.values():  # a reader that has an event can be away
            while not reader.tail.out:
                servers.publish(1)
                reader.tail.take(0.1)
        servers.publish(SOME)
        servers.kill()  # while it sends them
        servers.publish(SOME)
        servers.start()
        servers.publish(SOME)
        until_all_have_the_last()

        servers.publish(SOME)
        servers.stop()
        servers.publish(SOME)
        for name, said in (("direct", "nothing listens at"), ("nginx", "502 Bad Gateway")):
            readers[name].until_told(said)
        servers.start()
        servers.publish(SOME)
        until_all_have_the_last()

        for name, reader in readers.items():
            events = [json.loads(line) for line in reader.tail.out]
            first = int(events[0]["data"])
            numbers = [int(event["data"]) for event in events]
            assert numbers == list(range(first, servers.last + 1)), name
            assert len({event["id"] for event in events}) == len(events)

    code, tail = ran(servers.urls["tls"])
    assert code == 3
    assert "is not trusted" in tail.told[0]
    code, tail = ran(f"{servers.urls['tls']}/numbers?codings=gzip", "-k", "--compressed", "-m", "1")
    assert code == 5
