"""What a ``Content-Type`` says. How heads change is shown in `tests.legacy.test_rules`."""

import pytest

from sse_middleware.wire.response_headers import Headers, content_type, with_defaults


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
