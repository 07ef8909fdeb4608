"""The status line and the messages on stderr."""

import io
import os
from collections.abc import Iterator

import pytest

from sse_middleware.cli.tail.terminal import Screen, columns_of

ERASE = "\r\x1b[K"


def shown(text: str) -> str:
    return f"{ERASE}\x1b[2m{text}\x1b[0m"


class Stderr(io.StringIO):
    def taken(self) -> str:
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


@pytest.fixture
def stderr() -> Stderr:
    return Stderr()


def test_without_a_terminal_there_is_no_status_line_and_no_escape(stderr: Stderr) -> None:
    screen = Screen(stderr)
    screen.status("waiting")
    with screen.without_status():
        pass
    screen.note("a\x1b[2J\nb")
    assert stderr.taken() == "sse_middleware tail: a\\x1b[2J b\n"


def test_the_status_line_is_erased_before_anything_is_printed(stderr: Stderr) -> None:
    screen = Screen(stderr, has_status=True)
    screen.status("one")
    assert stderr.taken() == shown("one")
    screen.status("one")
    assert stderr.taken() == ""
    screen.note("told")
    assert stderr.taken() == f"{ERASE}sse_middleware tail: told\n"
    screen.status("two")
    screen.lines("1\n2\n")
    assert stderr.taken() == f"{shown('two')}{ERASE}1\n2\n"
    screen.status("")
    assert stderr.taken() == ""


def test_nothing_is_drawn_while_an_event_is_printed(stderr: Stderr) -> None:
    screen = Screen(stderr, has_status=True)
    with screen.without_status():
        screen.status("now")
        with screen.without_status():
            pass
        screen.status("now")
    assert stderr.taken() == ""
    screen.status("then")
    assert stderr.taken() == shown("then")


@pytest.mark.parametrize(("columns", "text"), [(80, "a\\x1b漢é"), (5, "a\\x1"), (1, ""), (0, "")])
def test_it_fits_the_terminal(stderr: Stderr, columns: int, text: str) -> None:
    Screen(stderr, has_status=True, columns=lambda: columns).status("a\x1b漢é")
    assert stderr.taken() == (shown(text) if text else "")


def test_silent_leaves_only_errors(stderr: Stderr) -> None:
    screen = Screen(stderr, silent=True)
    screen.note("it goes on")
    screen.error("it ended")
    assert stderr.taken() == "sse_middleware tail: it ended\n"


def test_a_closed_stderr_is_no_failure() -> None:
    Screen(None).error("nobody reads it")
    closed = io.StringIO()
    closed.close()
    Screen(closed).error("nobody reads it")


@pytest.fixture
def terminal() -> Iterator[int]:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    yield theirs
    os.close(ours)
    os.close(theirs)


def test_the_width_is_that_of_the_terminal(terminal: int, stderr: Stderr) -> None:
    termios = pytest.importorskip("termios")
    with os.fdopen(terminal, "w", closefd=False) as file:
        assert columns_of(file)() == 80  # it says 0
        termios.tcsetwinsize(terminal, (24, 33))
        assert columns_of(file)() == 33
    assert columns_of(stderr)() == 80
