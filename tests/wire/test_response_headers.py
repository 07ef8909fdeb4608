"""What a ``Content-Type`` says, and how the head of a response changes."""

import pytest

from sse_middleware.wire.response_headers import Headers, ResponseHead, content_type, with_defaults


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, ("", "utf-8")),
        (b"", ("", "utf-8")),
        (b"text/csv", ("text/csv", "utf-8")),
        (b" Text/CSV ; header=present", ("text/csv", "utf-8")),
        (b"text/csv;charset=Latin-1", ("text/csv", "Latin-1")),
        (b'text/csv; a=b; CharSet = "utf-16" ', ("text/csv", "utf-16")),
        (b"text/csv; charset=", ("text/csv", "utf-8")),
        (b"text/csv; charset=a; charset=b", ("text/csv", "a")),
        (b"\xff/x", ("ÿ/x", "utf-8")),
    ],
)
def test_a_content_type_is_a_media_type_and_a_charset(
    header: bytes | None, found: tuple[str, str]
) -> None:
    assert content_type(header) == found


@pytest.mark.parametrize(
    ("own", "preset", "sent"),
    [
        ([], (), [b"no-cache, no-transform"]),
        ([(b"x-a", b"1")], (), [b"no-cache, no-transform"]),
        ([(b"cache-control", b"public")], (), [b"public"]),
        ([], ((b"cache-control", b"no-store"),), [b"no-store"]),
    ],
)
def test_events_are_neither_kept_nor_changed_on_their_way(
    own: Headers, preset: Headers, sent: list[bytes]
) -> None:
    found = [value for name, value in with_defaults(own, preset) if name == b"cache-control"]
    assert found == sent


START = {"type": "http.response.start", "status": 200}


@pytest.mark.parametrize(
    ("vary", "merged"),
    [
        ([], [b"Accept"]),
        ([b"Accept-Encoding"], [b"Accept-Encoding, Accept"]),
        ([b"Origin", b"Cookie"], [b"Origin, Cookie, Accept"]),
        ([b"Origin, accept"], [b"Origin, accept"]),
        ([b"Origin", b"ACCEPT"], [b"Origin", b"ACCEPT"]),
        ([b"*"], [b"*"]),
    ],
)
def test_vary_is_merged(vary: list[bytes], merged: list[bytes]) -> None:
    head = ResponseHead({**START, "headers": [(b"vary", value) for value in vary]})
    for message in (head.varied(), head.of_converted(varying=True)):
        assert [value for name, value in message["headers"] if name == b"vary"] == merged


def test_a_body_of_events_has_no_length_no_etag_and_no_trailers() -> None:
    old = [(b"Content-Length", b"2"), (b"ETag", b'"x"')]
    kept = [(b"content-type", b"text/event-stream"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    message = {**START, "headers": [*old, *kept], "trailers": True}
    assert ResponseHead(message).of_events() == {**START, "headers": with_defaults(kept)}
    assert message == {**START, "headers": [*old, *kept], "trailers": True}
