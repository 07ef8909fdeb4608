"""The list is strict: what isn't listed fails, and so does an entry that no longer differs."""

import pytest

from tests.peers.differences import FASTAPI, STARLETTE, Difference, outdated, unexpected

LISTED = [Difference("on purpose", ("a.py::test_all", "a.py::test_one[trio]"))]
AS_LISTED = {
    "a.py::test_all[1]": "failed",
    "a.py::test_all[2]": "failed",
    "a.py::test_one[asyncio]": "passed",
    "a.py::test_one[trio]": "failed",
    "a.py::test_other": "skipped",
}


def test_what_is_listed_may_fail() -> None:
    assert not unexpected(AS_LISTED, LISTED)
    assert not outdated(AS_LISTED, LISTED)


@pytest.mark.parametrize(
    "test", ["a.py::test_one[asyncio]", "a.py::test_other", "b.py", "test_all"]
)
def test_anything_else_may_not(test: str) -> None:
    assert unexpected({**AS_LISTED, test: "failed"}, LISTED) == [test]


@pytest.mark.parametrize("outcome", ["passed", "skipped"])
def test_an_entry_that_no_longer_differs_is_outdated(outcome: str) -> None:
    assert outdated({**AS_LISTED, "a.py::test_one[trio]": outcome}, LISTED) == [
        "a.py::test_one[trio]"
    ]
    assert outdated({**AS_LISTED, "a.py::test_all[2]": outcome}, LISTED) == ["a.py::test_all"]


def test_an_entry_for_a_test_that_is_gone_is_outdated() -> None:
    assert outdated({}, LISTED) == ["a.py::test_all", "a.py::test_one[trio]"]


@pytest.mark.parametrize("difference", [*STARLETTE, *FASTAPI])
def test_each_entry_has_a_reason(difference: Difference) -> None:
    assert difference.reason
    assert difference.tests
    assert difference.places
