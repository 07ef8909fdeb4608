"""The checker finds each way in which a record can break the hub's promise."""

import pytest

from .hub_record import Gap, Record, Seen, violations


def seen(topic: str, number: int, position: int, newest: int = 0) -> Seen:
    return Seen(topic, number, position, newest or number)


A1, B1, A2, A3, B2 = RECORD = (
    seen("a", 1, 0),
    seen("b", 1, 1),
    seen("a", 2, 2),
    seen("a", 3, 3),
    seen("b", 2, 4),
)
"""Everything that was published to two topics."""

LAST = {"a": 3, "b": 2}


def found(record: Record, kept: int = 1) -> list[str]:
    return list(violations(record, LAST, kept))


def test_a_whole_record_is_without_fault() -> None:
    assert found(RECORD) == []


def test_a_gap_before_what_is_missing_is_without_fault() -> None:
    assert found([A1, B1, Gap(("a",)), A3, B2]) == []


def test_a_gap_may_be_told_again_by_the_next_connection() -> None:
    assert found([A1, B1, Gap(("a",)), Gap(("a",)), A3, B2]) == []


def test_events_of_other_topics_may_lie_between_a_gap_and_its_end() -> None:
    assert found([A1, Gap(("a",)), B1, A3, B2]) == []


def test_a_gap_may_be_the_beginning() -> None:
    late = seen("a", 3, 3)
    assert found([Gap(("a", "b")), late, B2]) == []


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ([A1, B1, A2, A2, A3, B2], "a 2 after 2: twice, or out of order"),
        ([A1, B1, A2, A1, A3, B2], "a 1 after 2: twice, or out of order"),
        ([A1, A2, A3, B1, B2], "b 1 out of order: 1 after 3"),
        ([A1, B1, A3, B2], "a 2 to 2 are missing without a gap"),
        ([A1, B1, Gap(("b",)), A3, seen("b", 2, 4)], "a 2 to 2 are missing without a gap"),
        ([B1, A2, A3, B2], "a 1 to 1 are missing without a gap"),
        ([A1, B1, A2, Gap(("a",)), A3, B2], "a gap before a 3, where nothing is missing"),
        ([*RECORD, Gap(("b",))], "a gap of b before nothing"),
        ([A1, B1, A2, A3], "the end of b is missing: 2 to 2"),
        ([A1, Gap(("b",)), A2, A3], "the end of b is missing: 1 to 2"),
        ([A1, B1, seen("c", 1, 2), A2, A3, B2], "c is no topic of this subscriber"),
        ([A1, B1, Gap(("a", "c")), A3, B2], "c is no topic of this subscriber"),
    ],
)
def test_a_fault_is_found(record: Record, fault: str) -> None:
    assert fault in found(record)


def test_what_was_still_kept_is_missed_in_spite_of_a_gap() -> None:
    assert found([A1, B1, Gap(("a",)), A3, B2], kept=2) == ["a 2 to 2 are missing, but were kept"]


def test_what_the_hub_may_have_dropped_by_then_is_not_missed() -> None:
    late = seen("a", 3, 3, newest=4)
    assert found([A1, B1, Gap(("a",)), late, B2], kept=2) == []


def test_nothing_at_all_lacks_the_end_of_each_topic() -> None:
    assert found([]) == ["the end of a is missing: 1 to 3", "the end of b is missing: 1 to 2"]


def test_a_store_that_lost_something_may_tell_any_gap_but_must_tell_one() -> None:
    told: Record = [A1, Gap(("a", "b")), B1, Gap(("a",)), A3, B2, Gap(("b",))]
    assert list(violations(told, LAST, 10, lossy=True)) == []
    assert len(list(violations(told, LAST, 10))) == 3
    untold = list(violations([A1, B1, A3, B2], LAST, 10, lossy=True))
    assert untold == ["a 2 to 2 are missing without a gap"]
