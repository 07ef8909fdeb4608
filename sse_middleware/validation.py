"""Checks of what users set, and `UNSET`. An error names field, value and what is allowed."""

import sys
from enum import Enum
from inspect import iscoroutinefunction
from typing import Literal

from sse_middleware.errors import ConfigurationError


class Unset(Enum):
    """The type of `UNSET`."""

    UNSET = "not set"

    def __repr__(self) -> str:
        """Read well in signatures and in the settings' own representation."""
        return "UNSET"


UNSET: Literal[Unset.UNSET] = Unset.UNSET
"""The value of a setting that nobody has set, where the default is only known later."""


def check_seconds(name: str, value: object, note: str, *, zero: bool = False) -> None:
    """Refuse anything but a finite number of seconds over 0 (or 0 itself, with `zero`)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    holds = number and 0 <= value <= sys.float_info.max and (zero or value != 0)  # type: ignore[operator]
    bound = "of at least 0" if zero else "over 0"
    check(name, value, holds, f"a finite number of seconds {bound} ({note})")


def check_count(name: str, value: object, of: str) -> None:
    """Refuse anything but a whole number over 0."""
    check(name, value, type(value) is int and value > 0, f"a number of {of} over 0")


def check_function(name: str, value: object) -> None:
    """Refuse what is neither ``None`` nor a function that need not be awaited."""
    holds = value is None or is_function(value)
    check(name, value, holds, "a function that is not async, or None")


def is_function(value: object) -> bool:
    """Whether a value can be called, and what it returns need not be awaited."""
    called = type(value).__call__ if callable(value) else None
    return callable(value) and not (iscoroutinefunction(value) or iscoroutinefunction(called))


def check(name: str, value: object, holds: bool, allowed: str) -> None:  # noqa: FBT001
    """Refuse a value for which `holds` is false, and say what is allowed."""
    if not holds:
        raise ConfigurationError(f"{name} must be {allowed}, got {value!r}")


def check_limit(name: str, value: object, note: str) -> None:
    """Refuse what is neither ``None`` nor a number of seconds over 0."""
    if value is not None:
        check_seconds(name, value, note)


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can encode a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
