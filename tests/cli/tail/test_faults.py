"""The command with faults of a real server: what it prints, asks and says, and its exit code."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.tail.running import FAST, Tail, Terminal, in_shell, ran
from tests.client.fault_server import (
    STOP,
    Answer,
    FaultServer,
    Step,
    drop,
    flood,
    head,
    hold,
    pause,
    reset,
    send,
    status,
    stream,
)
from tests.patience import PATIENCE

pytestmark = pytest.mark.e2e

PIPE = 65536
"""Bytes that a pipe holds, if no page of it is half full."""

ONE, TWO = b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\n"

A, B = "#1 a", "#2 b"


def lost(*pieces: bytes, by: Step = drop) -> Answer:
    return (head(), send(*pieces), by)


def bytewise(wire: bytes) -> list[bytes]:
    return [wire[at : at + 1] for at in range(len(wire))]


@pytest.mark.parametrize(
    ("answers", "events", "ids"),
    [
        ([stream(*bytewise(b"\xef\xbb\xbf" + ONE + TWO))], [A, B], [None, "2"]),
        ([stream(*bytewise(ONE.replace(b"\n", b"\r\n")))], [A], [None, "1"]),
        ([stream(*bytewise(ONE.replace(b"\n", b"\r")))], [A], [None, "1"]),
        ([stream(b"data\n\ndata:  b\n\ndata: cut")], ["", " b"], [None, None]),
        ([stream(b"id: 7\n\n")], [], [None, "7"]),
        ([stream(ONE, b"id\n\n")], [A], [None, None]),
        ([stream(ONE, b"id: a\0b\ndata: b\n\n")], [A, "#1 b"], [None, "1"]),
        ([(drop,), stream(ONE)], [A], [None, None, "1"]),
        ([(reset,), stream(ONE)], [A], [None, None, "1"]),
        ([lost(ONE), stream(TWO)], [A, B], [None, "1", "2"]),
        ([lost(ONE, by=reset), stream(TWO)], [A, B], [None, "1", "2"]),
        ([lost(ONE, b"id: 2\nda"), stream(TWO)], [A, B], [None, "1", "2"]),
        ([stream(ONE), stream(TWO)], [A, B], [None, "1", "2"]),
        ([status(500), status(502), status(504), stream(ONE)], [A], [None] * 4 + ["1"]),
    ],
)
def test_it_goes_on(
    server: FaultServer, answers: list[Answer], events: list[str], ids: list[str | None]
) -> None:
    shown = server.show(*answers, STOP)
    code, tail = ran(server.url + shown.path, *FAST)
    assert (code, tail.events, shown.ids) == (0, events, ids)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (STOP, 0, None),
        (status(404, b"nothing"), 3, "the server answers 404 Status: nothing. Is the path"),
        (status(200, b"<p>", "text/html"), 3, "the answer is no event stream, but text/html: <p>."),
        (status(307, location="ftp://127.0.0.1/"), 3, "nothing can be asked for at"),
    ],
)
def test_it_ends(server: FaultServer, answer: Answer, code: int, said: str | None) -> None:
    shown = server.show(answer)
    found, tail = ran(server.url + shown.path, *FAST, "--max-retries", "0")
    assert (found, len(shown.asked)) == (code, 1)
    if said:
        assert tail.told[0].startswith(said)


def test_it_heeds_retry_after(server: FaultServer) -> None:
    shown = server.show(status(503, Retry_After="1"), stream(ONE))
    code, tail = ran(server.url + shown.path, *FAST, "--count", "1")
    assert (code, tail.events) == (0, [A])
    assert shown.pauses[0] >= 1


def test_silence_is_a_lost_connection(server: FaultServer) -> None:
    shown = server.show(stream(ONE, then=hold), after={"1": STOP})
    code, tail = ran(server.url + shown.path, *FAST, "--idle-timeout", "0.2")
    assert (code, tail.events) == (0, [A])
    shown.assert_resumed_after("1")
    shown.wait_left(0)


@pytest.mark.parametrize(
    ("first", "code", "asked"), [(ONE, 0, 2), (b"data: a\n\n", 1, 1)], ids=["id", "no id"]
)
def test_a_post_goes_on_only_after_an_id(
    server: FaultServer, first: bytes, code: int, asked: int
) -> None:
    shown = server.show(lost(first), stream(TWO))
    reader, writer = os.pipe()
    os.write(writer, b'{"a": 1}\n')
    os.close(writer)
    with os.fdopen(reader, "rb") as stdin:
        url = server.url + shown.path
        found, _ = ran(url, "--data-json", "@-", *FAST, stdin=stdin)
    assert (found, len(shown.asked)) == (code, asked)
    assert {one.body for one in shown.asked} == {b'{"a": 1}\n'}
    assert {one.method for one in shown.asked} == {"POST"}


# Problems that are no answer


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("http://127.0.0.1:9", 4, "nothing listens at http://127.0.0.1:9. Does the server run"),
        ("name.invalid", 4, "the host of http://name.invalid is not known"),
    ],
)
def test_no_connection(url: str, code: int, said: str) -> None:
    found, tail = ran(url, "--max-retries", "0")
    assert found == code
    (line,) = tail.told
    assert said in line


def test_a_port_without_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=answer)
        thread.start()
        code, tail = ran(f"https://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()
    assert code == 3
    assert tail.told[0].endswith("doesn't speak TLS on this port. Is it http:// instead?")


# Ctrl-C, and the end of a script


def until_full(tail: Tail) -> None:
    """Wait until the pipe from the command is full."""

    def waiting() -> int:
        assert tail.stdout is not None
        found = fcntl.ioctl(tail.stdout, termios.FIONREAD, bytes(4))
        return int.from_bytes(found, sys.byteorder)

    wait_until(lambda: waiting() > PIPE / 2)


def wait_until(met: Callable[[], bool]) -> None:
    """Wait for what nothing tells of."""
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("state", ["connecting", "open", "waiting", "blocked", "stdin"])
def test_a_signal_ends_it_in_each_state(
    server: FaultServer, state: str, number: signal.Signals
) -> None:
    answers: dict[str, Answer] = {
        "connecting": (hold,),
        "open": stream(ONE, then=hold),
        "waiting": status(503, Retry_After="100"),
        "blocked": (head(), flood(ONE * 100, 10_000)),
        "stdin": STOP,
    }
    shown = server.show(answers[state])
    arguments = ["-d", "@-"] if state == "stdin" else ["--stats"]
    url = server.url + shown.path
    with Tail(url, *arguments, reads=state != "blocked", stdin=subprocess.PIPE) as tail:
        match state:
            case "connecting":
                shown.wait_asked(1)
            case "open":
                tail.until(lambda: tail.out)
            case "waiting":
                tail.until(lambda: "Connecting again in 100 s" in "".join(tail.err))
            case "blocked":
                until_full(tail)
            case "stdin":
                assert tail.stdin is not None
                tail.stdin.write(bytes(1_000_000))  # until it reads
        tail.send(number)
        assert tail.code() == -number
        assert any(line.startswith("events ") for line in tail.err) is (state != "stdin")
    if state == "open":
        shown.wait_left()


def test_a_signal_ends_it_while_a_name_is_looked_up() -> None:
    code = """
import socket, sys, threading
def look_up(*_, **__):
    print("looking up", file=sys.stderr, flush=True)
    threading.Event().wait()
socket.getaddrinfo = look_up
from sse_middleware.__main__ import main
main(["tail", "name.invalid"])
"""
    with Tail(command=(sys.executable, "-c", code)) as tail:
        tail.until(lambda: "looking up" in tail.err)
        tail.send(signal.SIGINT)
        assert tail.code() == -signal.SIGINT


def test_a_script_sees_the_signal(server: FaultServer) -> None:
    shown = server.show(stream(ONE, then=hold))
    script = """
        coproc "$@"
        pid=$COPROC_PID
        read -r line <&"${COPROC[0]}"
        kill -INT $pid
        wait $pid
        echo $?
    """
    done = in_shell(f"set -m; {script}", server.url + shown.path)
    assert done.stdout == b"130\n"


def test_head_ends_it_at_once(server: FaultServer) -> None:
    shown = server.show(stream(ONE, then=hold))
    done = in_shell('"$@" | head -1', server.url + shown.path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b" #1 a\n")
    shown.wait_left()


def test_a_slow_reader_holds_the_server_back(server: FaultServer) -> None:
    piece, times = ONE * 1000, 10_000
    shown = server.show((head(), flood(piece, times)))
    with Tail(server.url + shown.path, reads=False) as tail:
        until_full(tail)
        seen = -1
        while seen != shown.asked[0].sent:  # until nothing moves any more
            seen = shown.asked[0].sent
            time.sleep(0.3)
        assert seen < len(piece) * times / 4


def test_a_file_gets_each_event_at_once(server: FaultServer, tmp_path: Path) -> None:
    shown = server.show((head(), send(ONE), pause, send(TWO)), STOP)
    file = tmp_path / "out"
    with file.open("wb") as out, Tail(server.url + shown.path, *FAST, stdout=out) as tail:
        wait_until(lambda: file.read_bytes().endswith(b" #1 a\n"))
        shown.go_on()
        assert tail.code() == 0
    assert file.read_bytes().endswith(b" #2 b\n")


# A terminal


def test_a_terminal_shows_colours_and_silence_and_nothing_steers_it(server: FaultServer) -> None:
    evil = b"event: \x1b]0;title\x07\nid: \x9b2J\ndata: \x1b[2J\xff\x1bc\n\n"
    silence = b": ping\n\n"
    shown = server.show((head(), send(ONE, silence), pause, send(evil), hold))
    with Terminal(server.url + shown.path) as terminal:
        # How many seconds are shown depends on the machine. Virtual time tests the numbers.
        terminal.until(r"no event for \d+ s, 1 keep-alive, the last \d+ s ago\x1b\[0m")
        shown.go_on()
        terminal.until(r"\\x1bc\r\n")
        terminal.until(r"no event for \d+ s\x1b\[0m")
        assert terminal.interrupted() == -signal.SIGINT
    assert re.search(r"s ago\x1b\[0m\r\x1b\[K\x1b\[2m[\d:.]{12}\x1b\[0m ", terminal.shown)
    without_ours = re.sub(r"\x1b\[(?:[0-9]*m|K)|\r", "", terminal.shown)
    assert "\x1b" not in without_ours
    assert "\x9b" not in without_ours
    assert "\x07" not in without_ours
