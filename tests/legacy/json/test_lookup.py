"""A value is read out of a large JSON text in steps."""

import json
from typing import Any

import pytest

from sse_middleware.legacy.json.lookup import lookup
from sse_middleware.legacy.json.scanner import SCAN_STEP


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


def test_long_members_are_skipped_in_steps_and_short_ones_together() -> None:
    texts = ["\n" * (SCAN_STEP // 4)] * 200
    for value, path in ((texts, (199,)), (dict(enumerate(texts)), ("199",))):
        text, pauses = found(value, *path)
        assert text == texts[-1]
        assert 90 <= pauses <= 100
    assert found({f"k{number}": [[[[1]]]] for number in range(200)}, "k199", 0, 0, 0, 0)[1] <= 2


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(LookupError, match="there is no 'b'"):
        found({"a": 1}, "b")
