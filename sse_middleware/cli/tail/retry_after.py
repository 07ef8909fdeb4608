"""`seconds_of`: what a ``Retry-After`` header asks for (RFC 9110, 10.2.3)."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DIGITS = 18


def seconds_of(value: str, date: str, now: datetime) -> float:
    """Return the seconds that a response asks to wait, 0 if it asks for none.

    Args:
        value: the header ``Retry-After``: a number of seconds or a date.
        date: the header ``Date``, from which a date counts, since clocks differ.
        now: used if there is no ``Date``.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:_MAX_DIGITS])
    until = _time_of(value)
    if until is None:
        return 0.0
    begin = _time_of(date) or now
    return max(0.0, (until - begin).total_seconds())


def _time_of(value: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
