"""`LoggingObserver`, with real streams."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import CloseReason, ConfigurationError, SSEMiddleware, event_stream
from sse_middleware.observers import LoggingObserver, StreamClosed, StreamInfo
from tests.served import OopsError, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

NAME = "sse_middleware.streams"


async def numbers(request: Request) -> AsyncIterator[int]:
    """Yield 1, a second later 2, and then do as the path says."""
    yield 1
    await anyio.sleep(1)
    yield 2
    if request.path_params["then"] == "fail":
        raise OopsError
    if request.path_params["then"] == "stay":
        await anyio.sleep_forever()
        yield 0  # it could go on


def application(**options: Any) -> Starlette:
    return Starlette(
        routes=[Route("/numbers/{then}", event_stream(numbers))],
        middleware=[Middleware(SSEMiddleware, **options)],
    )


def lines(caplog: pytest.LogCaptureFixture, name: str = NAME) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == name]


class TestLogging:
    async def test_the_opening_and_the_closing(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, NAME)
        app = application(observers=[LoggingObserver()])
        async with client_of(app) as client:
            await client.http.get("/numbers/end")
        opened, closed = lines(caplog)
        stream: Any = vars(opened)
        assert opened.levelno == logging.DEBUG
        assert opened.message == f"stream {stream['stream_id']} of GET /numbers/end opened"
        assert closed.levelno == logging.INFO
        assert closed.message == (
            f"stream {stream['stream_id']} of GET /numbers/end closed: finished, "
            "after 1.000 s, 2 events, 18 bytes"
        )
        fields = {name: value for name, value in vars(closed).items() if "stream_" in name}
        assert fields.pop("stream_seconds") == pytest.approx(1)
        assert fields == {
            "stream_id": stream["stream_id"],
            "stream_method": "GET",
            "stream_path": "/numbers/end",
            "stream_route": "/numbers/{then}",
            "stream_client": "127.0.0.1",
            "stream_reason": "finished",
            "stream_events": 2,
            "stream_size": 18,
            "stream_error": None,
        }

    async def test_an_error_is_named_and_not_kept(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, NAME)
        app = application(observers=[LoggingObserver()])
        async with client_of(app) as client:
            with pytest.raises(OopsError):
                await client.http.get("/numbers/fail")
        (closed,) = lines(caplog)
        assert closed.levelno == logging.WARNING
        assert "closed: error (OopsError), after 1.000 s" in closed.message
        assert vars(closed)["stream_error"] == "OopsError"
        assert closed.exc_info is None

    async def test_a_refusal(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, NAME)
        app = application(observers=[LoggingObserver()], max_streams=1)
        async with client_of(app) as client, client.stream("GET", "/numbers/stay"):
            await client.http.get("/numbers/end")
        refused, left = lines(caplog)
        assert (refused.levelno, left.levelno) == (logging.WARNING, logging.INFO)
        assert "closed: refused, after 0.000 s, 0 events, 0 bytes" in refused.message
        assert "closed: client_disconnected" in left.message

    @pytest.mark.parametrize("reason", CloseReason)
    @pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR])
    async def test_the_level_follows_the_reason(
        self, reason: CloseReason, level: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        logger = logging.getLogger("tests.streams")
        caplog.set_level(logging.DEBUG, logger.name)
        LoggingObserver(logger, level)(closed(reason, "/"))
        (line,) = lines(caplog, logger.name)
        bad = {CloseReason.ERROR, CloseReason.SEND_TIMEOUT, CloseReason.REFUSED}
        assert line.levelno == (max(level, logging.WARNING) if reason in bad else level)

    async def test_nothing_is_written_below_the_level(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR, NAME)
        async with client_of(application(observers=[LoggingObserver()])) as client:
            await client.http.get("/numbers/end")
        assert lines(caplog) == []

    async def test_a_path_can_not_begin_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, NAME)
        LoggingObserver()(closed(CloseReason.FINISHED, "/a\nWARNING forged \x1b[2J \u2028é"))
        (line,) = lines(caplog)
        assert len(line.message.splitlines()) == 1
        assert line.message.isascii()
        assert r"/a\nWARNING forged \x1b[2J \u2028\xe9 closed" in line.message

    @pytest.mark.parametrize("options", [{"logger": "a name"}, {"level": "INFO"}, {"level": True}])
    async def test_an_invalid_argument_is_refused(self, options: Any) -> None:
        with pytest.raises(ConfigurationError):
            LoggingObserver(**options)


def closed(reason: CloseReason, path: str) -> StreamClosed:
    return StreamClosed(StreamInfo("0" * 16, "GET", path, None, None), reason, 0, 0, 0.0)
