"""A value is read out of a large JSON text in steps."""

import json
from typing import Any

import pytest

from sse_middleware.legacy.json_lookup import lookup


def found(value: Any, *path: int | str) -> tuple[Any, int]:
    """Return what is found, and after how many pauses."""
    steps, pauses = lookup(json.dumps(value).encode(), path), 0
    while True:
        try:
            next(steps)
            pauses += 1
        except StopIteration as end:
            return end.value, pauses


@pytest.mark.parametrize("members", [10, 1_000])
def test_of_many_members_the_last_one_of_a_name_counts(members: int) -> None:
    large = {f"k{number}": number for number in range(members)}
    value, pauses = found({"a": large, "id": "x"}, "a", f"k{members - 1}")
    assert value == members - 1
    assert (pauses > 1) == (members > 256)


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match="there is no 'b'"):
        found({"a": 1}, "b")
