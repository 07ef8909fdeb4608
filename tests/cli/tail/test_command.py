"""The command with its arguments, on answers of httpx's transport."""

import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from sse_middleware.__main__ import main
from tests.cli.tail.following import Answer, answer

URL = "http://example.org/events"

EVENTS = b"id: 1\nevent: price\ndata: {}\n\nid: 2\ndata: \xc3\xa9\x1b\n\n"


class Server:
    """What the command asked, and what it gets."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answers: list[Answer] = [answer(EVENTS), answer(status=204)]

    async def handle(self, _transport: object, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return await self.answers[min(len(self.asked), len(self.answers)) - 1](request)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    async def handle(transport: object, request: httpx.Request) -> httpx.Response:
        return await server.handle(transport, request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    return server


def code_of(*arguments: str) -> int:
    try:
        main(["tail", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def printed(capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What went to stdout, without the times, and to stderr."""
    out, err = capfd.readouterr()
    return re.sub(r"\d\d:\d\d:\d\d\.\d{3}", "-", out), err


def test_it_prints_events_to_the_end(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of(URL, "--reconnect", "on-error") == 0
    assert printed(capfd) == ("- price #1 {}\n- #2 é\\x1b\n", "")


def test_json(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of(URL, "--json", "-n", "2") == 0
    first, second = map(json.loads, capfd.readouterr().out.splitlines())
    assert (first["event"], first["id"], first["data"]) == ("price", "1", {})
    assert (second["event"], second["id"], second["data"]) == ("message", "2", "é\x1b")


def test_raw(server: Server, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert code_of(URL, "--raw", "--count", "2") == 0
    assert capfdbinary.readouterr().out == EVENTS


def test_names_and_stats(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of(URL, "--event", "message", "--count", "1", "--stats") == 0
    out, err = printed(capfd)
    assert out == "- #2 é\\x1b\n"
    assert "events       2 (" in err
    assert f"bytes        {len(EVENTS)} (" in err


def test_it_waits_and_gives_up(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.answers = [answer(status=503)]
    assert code_of(URL, "--max-retries", "1", "--retry-delay", "0.001") == 4
    err = printed(capfd)[1].splitlines()
    assert err[0].startswith("sse_middleware tail: the server answers 503")
    assert err[1].endswith("Gave up after 1 retry.")


@pytest.mark.parametrize(
    ("answers", "arguments", "code"),
    [
        ([answer(status=204)], [], 0),
        ([answer(EVENTS, httpx.ReadError("cut"))], ["--reconnect", "never"], 1),
        ([answer(status=404)], ["-s"], 3),
        ([answer(100.0)], ["--timeout", "0.01"], 5),
        ([answer(b": hi\n", 100.0)], ["--idle-timeout", "0.01", "-X", "POST"], 1),
    ],
)
def test_exit_codes(server: Server, answers: list[Answer], arguments: list[str], code: int) -> None:
    server.answers = answers
    assert code_of(URL, *arguments) == code


def test_silent_leaves_the_last_error(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    server.answers = [answer(b"retry: 0\n\n"), answer(status=404)]
    assert code_of(URL, "-s") == 3
    assert capfd.readouterr().err == (
        "sse_middleware tail: the server answers 404 Not Found. Is the path of the URL right?\n"
    )


def test_the_request(server: Server) -> None:
    arguments = ["-d", "a=1", "--data-raw", "@b", "-u", "me:secret", "-b", "c=2", "-A", "mine"]
    assert code_of("example.org/events", *arguments, "-LN", "-H", "X-Own: 1", "-n1") == 0
    (request,) = server.asked
    assert (request.method, str(request.url), request.content) == ("POST", URL, b"a=1&@b")
    headers = request.headers
    assert headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert (headers["cookie"], headers["user-agent"], headers["x-own"]) == ("c=2", "mine", "1")
    assert "last-event-id" not in headers


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--since", "41"], "41"),
        (["-H", "Last-Event-ID: 41"], "41"),
        (["-H", "last-event-id: 40", "--since", "41"], "41"),
        (["--since", "é"], "é"),
    ],
)
def test_it_begins_after_an_id_and_goes_on_after_the_last(
    server: Server, arguments: list[str], first: str
) -> None:
    server.answers = [answer(b"retry: 0\n\n"), answer(b"id: 42\n\n"), answer(status=204)]
    assert code_of(URL, *arguments) == 0
    ids = [request.headers.get("last-event-id") for request in server.asked]
    assert ids == [first, first, "42"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ftp://example.org"], "its scheme is 'ftp'"),
        (['{"a": 1}', "--json"], "Send JSON with --data-json"),
        ([URL, "-H", "nothing"], "a header is written"),
        ([URL, "--raw", "--event", "a"], "--event has no effect"),
        ([URL, "-k", "--cacert", "file"], "--cacert has no effect"),
        ([URL, "--cacert", "/none"], "--cacert '/none': No such file"),
        ([URL, "--cacert", __file__], "--cacert"),
        ([URL, "--count", "0"], "at least 1 is needed"),
        ([URL, "--count", "x"], "'x' is no whole number"),
        ([URL, "--max-retries", "-1"], "'-1' is no whole number"),
        ([URL, "--timeout", "0"], "'0' is no number of seconds above 0"),
        ([URL, "--timeout", "inf"], "'inf' is no number"),
        ([URL, "--timeout", "soon"], "'soon' is no number"),
        ([URL, "--json", "--raw"], "not allowed with"),
        ([], "required: URL"),
    ],
)
def test_arguments_that_cannot_work(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(*arguments) == 2
    err = capfd.readouterr().err
    assert message in err
    assert err.startswith("usage: python -m sse_middleware tail [options] URL\n")
    assert err.count("\n") == 2


def test_no_option_is_shortened(capfd: pytest.CaptureFixture[str]) -> None:
    assert code_of(URL, "--time", "3") == 2  # or a new option could break a script
    assert "unrecognized arguments: --time" in capfd.readouterr().err


def test_a_proxy_that_cannot_work(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "strange://proxy")
    assert code_of(URL) == 2
    assert "the proxy of the environment can't work" in capfd.readouterr().err


def test_trust(server: Server) -> None:
    assert code_of(URL, "-n1", "-k") == 0
    found = ssl.get_default_verify_paths().cafile
    if found:
        assert code_of(URL, "-n1", "--cacert", found) == 0


def test_a_closed_stdout(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert code_of(URL) == 2
    assert "nowhere to print" in capfd.readouterr().err


def test_a_closed_stderr(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [answer(status=404)]
    monkeypatch.setattr(sys, "stderr", None)
    assert code_of(URL) == 3


def test_an_interrupt_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin(io.RawIOBase):
        def read(self, _size: int = -1, /) -> bytes:
            raise KeyboardInterrupt

    raised: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Stdin()))
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    try:
        assert code_of(URL, "-d", "@-") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert raised == [signal.SIGINT]


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")
def test_an_interrupt_ends_it_with_the_figures(
    server: Server, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def interrupt(request: httpx.Request) -> httpx.Response:
        os.kill(os.getpid(), signal.SIGINT)
        return await answer(EVENTS, 100.0)(request)

    raised: list[int] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    server.answers = [interrupt]
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    try:
        assert code_of(URL, "--stats") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert set(raised) == {signal.SIGINT}
    assert "events  " in capfd.readouterr().err


def test_without_httpx_it_says_which_extra(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    for name in [name for name in sys.modules if name.startswith("sse_middleware.cli.tail.")]:
        monkeypatch.delitem(sys.modules, name)
    assert code_of(URL) == 2
    assert "tail needs httpx: pip install 'sse_middleware[cli]'" in capfd.readouterr().err


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "try:\n"
        "    from sse_middleware.__main__ import main; main(['tail', '--help'])\n"
        "finally:\n"
        "    print(*({'httpx', 'anyio', 'starlette'} & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "exit codes:" in done.stdout
    assert done.stderr == "\n"


# On a terminal


def shown_on_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    """Run the command with a terminal as stdout and stderr. Returns what it shows."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        patch.setattr(sys, "stderr", file)
        assert code_of(URL, *arguments) == 0
        shown = os.read(ours, 10_000).decode()
    os.close(ours)
    return shown


@pytest.mark.parametrize(
    ("arguments", "environment", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_on_a_terminal(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    environment: dict[str, str],
    coloured: bool,
) -> None:
    for name, value in {"TERM": "xterm", "NO_COLOR": "", **environment}.items():
        monkeypatch.setenv(name, value)
    shown = shown_on_terminal(monkeypatch, "-n2", *arguments)
    assert ("\x1b[1m" in shown) is coloured
    assert "é\\x1b\r\n" in shown


def test_raw_bytes_on_a_terminal_are_harmless(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown_on_terminal(monkeypatch, "-n2", "--raw").endswith("data: é\\x1b\r\n\r\n")


def test_colours_without_a_terminal_only_on_request(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    assert code_of(URL, "-n1", "--color", "always") == 0
    assert "\x1b[1m" in capfd.readouterr().out


def test_data_from_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "body").write_text('{"a": 1}')
    assert code_of(URL, "--data-json", f"@{tmp_path / 'body'}", "-n1") == 0
    assert server.asked[0].content == b'{"a": 1}'
    assert server.asked[0].headers["content-type"] == "application/json"


def test_compression(server: Server) -> None:
    assert code_of(URL, "-n1", "--compressed") == 0
    assert "gzip" in server.asked[0].headers["accept-encoding"]
