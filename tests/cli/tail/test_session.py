"""Following a stream through every state, in virtual time."""

import socket
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.follow import Policy
from sse_middleware.cli.tail.formats import EventText
from sse_middleware.cli.tail.reading import Wanted
from sse_middleware.cli.tail.request import Data, request_of
from tests.cli.tail.following import LOST, STOP, STREAM, URL, Answer, Body, Scene, answer, fail
from tests.docs.pages import DOCS, blocks_of

pytestmark = pytest.mark.anyio

ONE, TWO = b"id: 1\ndata: a\n\n", b"id: 2\ndata: b\n\n"

POST = request_of(URL, data=[Data("json", '{"text": "hello"}')])

REFUSED_CONNECTION = httpx.ConnectError("All connection attempts failed")


async def test_a_stream_that_ends_is_opened_again_after_the_last_id() -> None:
    scene = Scene()
    assert await scene.run(answer(ONE), answer(TWO), STOP) is Ending.ENDED
    assert scene.printed == "#1 a\n#2 b\n"
    assert scene.ids == [None, "1", "2"]
    assert scene.at == [0, 3, 6]
    assert scene.told == [
        "the stream has ended (--reconnect on-error would end here). Connecting again in 3.00 s.",
        "the stream has ended. Connecting again in 3.00 s.",
    ]


@pytest.mark.parametrize(
    ("first", "waits", "said"),
    [
        (answer(status=503), 3, "the server answers 503 Service Unavailable."),
        (answer(status=503, retry_after="7"), 7, "the server answers 503 Service Unavailable."),
        (
            answer(
                status=429,
                retry_after="Fri, 27 Nov 2026 04:00:09 GMT",
                date="Fri, 27 Nov 2026 04:00:00 GMT",
            ),
            9,
            "the server answers 429 Too Many Requests.",
        ),
        (
            answer(b"<h1>Bad\n", b"\x1b[2Jgateway", status=502),
            3,
            "the server answers 502 Bad Gateway: <h1>Bad \\x1b[2Jgateway.",
        ),
        (
            fail(REFUSED_CONNECTION),
            3,
            "no connection to http://example.org: All connection attempts failed.",
        ),
        (answer(ONE, LOST), 3, "lost the connection to http://example.org: cut."),
        (answer(ONE, b"id: 2\nda", LOST), 3, "lost the connection to http://example.org: cut."),
        (answer(LOST), 3, "lost the connection to http://example.org: cut."),
        (answer(), 3, "the stream has ended (--reconnect on-error would end here)."),
        (answer(b"retry: 500\n\n" + ONE), 0.5, "the stream has ended (--reconnect on-error"),
    ],
)
async def test_it_waits_and_comes_back(first: Answer, waits: float, said: str) -> None:
    scene = Scene()
    assert await scene.run(first, answer(TWO, 1), STOP) is Ending.ENDED
    assert scene.at[1] == waits
    assert scene.told[0].startswith(said)
    assert " Connecting again in " in scene.told[0]
    assert scene.printed.endswith("#2 b\n")


async def test_waits_grow_until_an_event_comes() -> None:
    scene = Scene()
    await scene.run(*[fail(REFUSED_CONNECTION)] * 5, answer(), answer(ONE), answer(TWO), STOP)
    pauses = [round(b - a, 3) for a, b in zip(scene.at, scene.at[1:], strict=False)]
    assert pauses == [3, 6, 12, 24, 30, 30, 3, 3]


@pytest.mark.parametrize(
    ("first", "ending", "said"),
    [
        (STOP, Ending.ENDED, None),
        (
            answer(b'{"detail": "None"}', status=404),
            Ending.REFUSED,
            'the server answers 404 Not Found: {"detail": "None"}. Is the path of the URL right?',
        ),
        (
            answer(status=401),
            Ending.REFUSED,
            (
                "the server answers 401 Unauthorized. Send a name and a password with -u, or a "
                "token with -H 'Authorization: Bearer ...'."
            ),
        ),
        (
            answer(status=405),
            Ending.REFUSED,
            "the server answers 405 Method Not Allowed. Another method may work: -X says which.",
        ),
        (
            answer(status=405, allow="GET, HEAD"),
            Ending.REFUSED,
            (
                "the server answers 405 Method Not Allowed. "
                "It allows GET, HEAD: -X says which method is sent."
            ),
        ),
        (
            answer(b"x" * 200, b"y" * 200, b"z" * 200, status=418),
            Ending.REFUSED,
            f"the server answers 418 I'm a teapot: {'x' * 200}{'y' * 100}.",
        ),
        (
            answer(b"<html>", 100, b"late", content_type="text/html"),
            Ending.REFUSED,
            "the answer is no event stream, but text/html: <html>.",
        ),
        (answer(content_type=""), Ending.REFUSED, "the answer is no event stream, but no type."),
        (answer(LOST, status=400), Ending.REFUSED, "the server answers 400 Bad Request."),
        (
            answer(content_encoding="br, lzma"),
            Ending.REFUSED,
            "the stream is compressed as 'lzma', which can't be read.",
        ),
        (
            fail(httpx.LocalProtocolError("Illegal header value")),
            Ending.REFUSED,
            "the request can't be sent: Illegal header value.",
        ),
        (
            fail(UnicodeError("label too long")),
            Ending.REFUSED,
            (
                "nothing can be asked for at http://example.org, or where it redirects to: "
                "label too long."
            ),
        ),
    ],
)
async def test_it_ends_with_the_first_answer(
    first: Answer, ending: Ending, said: str | None
) -> None:
    scene = Scene()
    assert await scene.run(first) is ending
    assert len(scene.asked) == 1
    assert scene.told == ([said] if said else [])
    assert scene.ended_at <= 2  # no slow body holds it up


async def test_a_coding_that_needs_a_package() -> None:
    for coding, package in (("gzip", ""), ("br", "brotli"), ("zstd", "zstandard")):
        scene = Scene()
        async with httpx.AsyncClient() as client:
            has_codec = coding in client.headers["accept-encoding"]
        ending = await scene.run(answer(content_encoding=coding), STOP)
        assert ending is (Ending.ENDED if has_codec else Ending.REFUSED)
        assert has_codec or scene.told[0].endswith(f": pip install {package}.")


@pytest.mark.parametrize(
    ("policy", "answers", "ending", "said"),
    [
        (
            Policy(reconnect="on-error"),
            [answer(ONE)],
            Ending.ENDED,
            [],
        ),
        (
            Policy(reconnect="never"),
            [answer(ONE, LOST)],
            Ending.BROKEN,
            ["lost the connection to http://example.org: cut."],
        ),
        (
            Policy(reconnect="never"),
            [answer(status=503)],
            Ending.REFUSED,
            ["the server answers 503 Service Unavailable."],
        ),
        (
            Policy(reconnect="never"),
            [fail(REFUSED_CONNECTION)],
            Ending.GAVE_UP,
            ["no connection to http://example.org: All connection attempts failed."],
        ),
        (
            Policy(max_retries=1),
            [answer(ONE, LOST), answer(LOST)],
            Ending.GAVE_UP,
            [
                "lost the connection to http://example.org: cut. Connecting again in 3.00 s.",
                "lost the connection to http://example.org: cut. Gave up after 1 retry.",
            ],
        ),
        (
            Policy(max_retries=2, retry_delay=0.001),
            [answer(status=500)],
            Ending.GAVE_UP,
            [
                "the server answers 500 Internal Server Error. Connecting again in 1.00 ms.",
                "the server answers 500 Internal Server Error. Connecting again in 2.00 ms.",
                "the server answers 500 Internal Server Error. Gave up after 2 retries.",
            ],
        ),
    ],
)
async def test_it_ends_as_the_policy_says(
    policy: Policy, answers: list[Answer], ending: Ending, said: list[str]
) -> None:
    scene = Scene(policy=policy)
    assert await scene.run(*answers) is ending
    assert scene.told == said


POSTING = Policy("POST", "on-error")


async def test_a_post_is_sent_again_with_its_body_and_the_id() -> None:
    scene = Scene(POST, POSTING)
    assert await scene.run(answer(status=503), answer(ONE, LOST), answer(TWO)) is Ending.ENDED
    assert [request.content for request in scene.asked] == [b'{"text": "hello"}'] * 3
    assert scene.ids == [None, None, "1"]
    assert scene.printed == "#1 a\n#2 b\n"


@pytest.mark.parametrize("body", [(b"data: a\n\n", LOST), (LOST,), (b": hi\n", 100.0)])
async def test_a_post_without_an_id_is_not_sent_again(body: Any) -> None:
    scene = Scene(POST, POSTING, options={"idle_timeout": 50})
    assert await scene.run(answer(*body)) is Ending.BROKEN
    assert len(scene.asked) == 1


async def test_an_id_is_sent_as_bytes_and_an_empty_one_is_not_sent() -> None:
    scene = Scene(since=" é1 ")
    await scene.run(answer(b"id:  \xe6\xbc\xa2\n\n"), answer(b"id\ndata: a\n\n"), STOP)
    raw = [request.headers.raw for request in scene.asked]
    sent = [[value for name, value in one if name.lower() == b"last-event-id"] for one in raw]
    assert sent == [["é1".encode()], [b"\xe6\xbc\xa2"], []]


@pytest.mark.parametrize("id", [b" ", b"a\x01b", b"a\x0bb", b"a\x7fb"])
async def test_an_id_that_no_header_can_have_is_not_sent(id: bytes) -> None:
    scene = Scene()
    await scene.run(answer(b"id: 1\n\nid: " + id + b"\n\n"), STOP)
    assert scene.ids == [None, None]


async def test_silence_ends_a_connection_and_keep_alives_do_not() -> None:
    scene = Scene(options={"idle_timeout": 10})
    alive = [step for _ in range(10) for step in (9.0, b": ping\n\n")]
    await scene.run(answer(ONE, *alive, 20.0, TWO), answer(TWO, 9.0), STOP)
    assert scene.at == [0, 103, 115]
    assert scene.told[0] == "nothing came for 10.0 s. Connecting again in 3.00 s."
    assert scene.printed == "#1 a\n#2 b\n"


async def test_a_server_that_never_answers_is_silent_too() -> None:
    scene = Scene(options={"idle_timeout": 10})
    assert await scene.run(answer(ONE, after=11), answer(ONE, after=9), STOP) is Ending.ENDED
    assert scene.at == [0, 13, 25]


async def test_a_slow_reader_of_the_output_stops_the_clock_of_silence() -> None:
    scene = Scene(options={"idle_timeout": 10}, writing=60)
    await scene.run(answer(ONE, 9.0, TWO, 9.0), STOP)
    assert scene.at == [0, 9 + 9 + 2 * 60 + 3]


async def test_an_event_that_is_too_large() -> None:
    scene = Scene(wanted=Wanted(EventText(coloured=False), max_event_size=20))
    assert await scene.run(answer(b"data: 1\n\ndata: " + b"x" * 30)) is Ending.BROKEN
    assert scene.printed == "1\n"
    assert scene.told == ["an event is larger than 20 bytes. --max-event-size allows more."]


async def test_enough_closes_the_connection() -> None:
    scene = Scene(wanted=Wanted(EventText(coloured=False), count=1))
    assert await scene.run(answer(ONE, 1000.0)) is Ending.ENDED
    assert scene.ended_at == 0


# What is sent


async def test_headers() -> None:
    scene = Scene(request_of(URL, headers=["User-Agent:", "Accept-Language: de"]))
    await scene.run(STOP)
    headers = scene.asked[0].headers
    assert headers["accept"] == "text/event-stream"
    assert headers["accept-encoding"] == "identity"
    assert headers["accept-language"] == "de"
    assert "user-agent" not in headers


@pytest.mark.parametrize(("compressed", "line"), [(True, []), (False, ["accept-encoding: gzip"])])
async def test_compression_is_allowed(compressed: bool, line: list[str]) -> None:
    scene = Scene(request_of(URL, headers=line), options={"compressed": compressed})
    await scene.run(STOP)
    assert "gzip" in scene.asked[0].headers["accept-encoding"]
    assert "identity" not in scene.asked[0].headers["accept-encoding"]


def redirect(to: str, status: int = 307) -> Answer:
    return answer(status=status, location=to)


@pytest.mark.parametrize(
    ("to", "cookie", "password"),
    [
        ("/events/", "a=1", "Basic bWU6c2VjcmV0"),
        ("http://example.org/other", "a=1", "Basic bWU6c2VjcmV0"),
        ("http://example.com/events", None, None),
        ("http://example.org:81/events", None, None),
    ],
)
async def test_another_origin_gets_no_password_and_no_cookies(
    to: str, cookie: str | None, password: str | None
) -> None:
    request = request_of(URL, user="me:secret", cookies=["a=1"], headers=["X-Own: 1"])
    scene = Scene(request, since="7")
    assert await scene.run(redirect(to), answer(ONE), STOP) is Ending.ENDED
    headers = scene.asked[1].headers
    assert (headers.get("cookie"), headers.get("authorization")) == (cookie, password)
    assert (headers["x-own"], headers["last-event-id"]) == ("1", "7")
    assert str(scene.asked[2].url) == URL  # it begins anew
    assert scene.asked[2].headers["cookie"] == "a=1"


async def test_a_post_stays_one_where_the_status_says_so() -> None:
    scene = Scene(POST, POSTING)
    await scene.run(redirect("/there", 308), redirect("/result", 303), answer(ONE))
    assert [request.method for request in scene.asked] == ["POST", "POST", "GET"]
    assert scene.asked[1].content == b'{"text": "hello"}'


async def test_redirects_that_have_no_end() -> None:
    scene = Scene()
    assert await scene.run(redirect("/again")) is Ending.REFUSED
    assert scene.told == ["http://example.org redirects again and again."]
    assert len(scene.asked) == 20


async def test_the_system_looks_whether_the_other_end_is_still_there() -> None:
    with socket.socket() as connection:

        async def respond(_request: httpx.Request) -> httpx.Response:
            stream = SimpleNamespace(get_extra_info={"socket": connection}.get)
            return httpx.Response(
                200, headers=STREAM, stream=Body((ONE,)), extensions={"network_stream": stream}
            )

        await Scene().run(respond, STOP)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# The status line


def statuses(scene: Scene) -> list[str]:
    parts = scene.stderr.getvalue().split("\r\x1b[K")
    return [part[4:-4] for part in parts if part.startswith("\x1b[2m")]


async def test_the_status_line_tells_of_silence() -> None:
    scene = Scene(has_status=True)
    steps = (ONE, 2.7, b": hi\n\n", 2.0, b"id: 1\n\n", b": hi\n\n", 2.0, TWO, 70.0)
    await scene.run(answer(*steps, after=1.5), answer(status=204))
    shown = statuses(scene)
    assert shown[:7] == [
        "waiting for http://example.org to answer, 1 s",
        "no event for 2 s",
        "no event for 3 s, 1 keep-alive, the last 0 s ago",
        "no event for 4 s, 1 keep-alive, the last 1 s ago",
        "no event for 5 s, 2 keep-alives, the last 0 s ago",
        "no event for 6 s, 2 keep-alives, the last 1 s ago",
        "no event for 2 s",
    ]
    assert "no event for 0:01:09" in shown
    assert shown[-2:] == ["connecting again in 1 s, retry 1", "connecting again in 0 s, retry 1"]


async def test_the_status_line_is_as_the_page_shows_it() -> None:
    scene = Scene(has_status=True)
    ping = b": ping\n\n"
    await scene.run(answer(ONE, 15.0, ping, 15.0, ping, 3.0), answer(status=204))
    assert blocks_of(DOCS / "tail.md", "text")[1].code.strip() in statuses(scene)


async def test_an_event_erases_the_status_line() -> None:
    scene = Scene(has_status=True, wanted=Wanted(EventText(coloured=False), count=2))
    await scene.run(answer(ONE, 2.5, TWO))
    assert scene.stderr.getvalue() == "\r\x1b[K\x1b[2mno event for 2 s\x1b[0m\r\x1b[K"


async def test_without_a_terminal_there_is_none() -> None:
    scene = Scene()
    await scene.run(answer(ONE, 100.0), STOP)
    assert "\x1b" not in scene.stderr.getvalue()
    assert anyio.current_time() >= 103
