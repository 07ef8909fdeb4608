"""Checks of what users set: an error names the field, the value and what is allowed."""

import sys
from inspect import iscoroutinefunction

from sse_middleware.errors import ConfigurationError


def check_seconds(name: str, value: object, note: str, *, zero: bool = False) -> None:
    """Refuse what is no finite number of seconds over 0, or from 0 on."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    holds = number and 0 <= value <= sys.float_info.max and (zero or value != 0)  # type: ignore[operator]
    bound = "of at least 0" if zero else "over 0"
    check(name, value, holds, f"a finite number of seconds {bound} ({note})")


def check_count(name: str, value: object, of: str) -> None:
    """Refuse what is no number over 0."""
    check(name, value, type(value) is int and value > 0, f"a number of {of} over 0")


def check_function(name: str, value: object) -> None:
    """Refuse what can't be called without being awaited, and is not ``None``."""
    holds = value is None or is_function(value)
    check(name, value, holds, "a function that is not async, or None")


def is_function(value: object) -> bool:
    """Whether a value can be called, and what it returns need not be awaited."""
    called = type(value).__call__ if callable(value) else None
    return callable(value) and not (iscoroutinefunction(value) or iscoroutinefunction(called))


def check(name: str, value: object, holds: bool, allowed: str) -> None:  # noqa: FBT001
    """Refuse a value that doesn't hold, and say what is allowed."""
    if not holds:
        raise ConfigurationError(f"{name} must be {allowed}, got {value!r}")


def check_limit(name: str, value: object, note: str) -> None:
    """Refuse what is no number of seconds over 0, and not ``None``."""
    if value is not None:
        check_seconds(name, value, note)


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can encode a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
