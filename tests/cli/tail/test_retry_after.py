"""``Retry-After`` in seconds and as a date."""

from datetime import UTC, datetime

import pytest

from sse_middleware.cli.tail.retry_after import seconds_of

NOW = datetime(2026, 11, 27, 4, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("5", "", 5),
        (" 5 ", "", 5),
        ("0", "", 0),
        ("", "", 0),
        ("-5", "", 0),
        ("1.5", "", 0),
        ("\u0665", "", 0),  # a digit of another script
        ("soon", "", 0),
        ("9" * 5000, "", 1e18),
        ("Fri, 27 Nov 2026 04:00:07 GMT", "", 7),
        ("Fri, 27 Nov 2026 03:59:00 GMT", "", 0),
        ("Fri, 27 Nov 2026 04:00:07 -0000", "", 7),  # without a zone
        ("Fri, 27 Nov 2026 04:00:07 GMT", "Fri, 27 Nov 2026 04:00:05 GMT", 2),  # the server's clock
        ("Fri, 27 Nov 2026 04:00:07 GMT", "today", 7),
        ("Fri, 27 Nov 99999999999 04:00:07 GMT", "", 0),
    ],
)
def test_seconds(value: str, date: str, seconds: float) -> None:
    assert seconds_of(value, date, NOW) == seconds
