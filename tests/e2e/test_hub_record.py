"""The checker finds each way in which a record can break the hub's promise."""

import re
from collections.abc import Sequence

import pytest

from sse_middleware.hub.ids import Position, format_position

from .hub_record import Gap, Ledger, Published, Record, Seen, violations

OLD, NEW, OTHER = 1, 2, 3
"""Marks of the lives of a store."""


def at(clock: int, life: int = OLD) -> str:
    return format_position(Position(clock, life))


A1, B1, A2, A3, B2 = range(5)
"""Numbers of events of the topics a and b."""

EVENTS = [
    Published("a", begun=1, id=at(10), told=1.5),
    Published("b", begun=2, id=at(20), told=2.5),
    Published("a", begun=3, id=at(30), told=3.5),
    Published("a", begun=4, id=at(40), told=4.5),
    Published("b", begun=5, id=at(50), told=5.5),
]
"""They were published in this order."""


def seen(number: int, *, id: str = "", moment: float = 9) -> Seen:
    return Seen(number, id or EVENTS[number].id, moment)


def gap(*topics: str, at: str, reason: str = "expired") -> Gap:
    return Gap(topics, reason, at)


def found(events: Sequence[Seen | Gap], kept: int = 1, ledger: Ledger | None = None) -> list[str]:
    return list(violations(Record("ab", at(5), events), ledger or Ledger(EVENTS, kept)))


WHOLE = [seen(number) for number in (A1, B1, A2, A3, B2)]


def test_a_whole_record_is_without_fault() -> None:
    assert found(WHOLE) == []


def test_a_gap_before_what_is_missing_is_without_fault() -> None:
    assert found([seen(A1), seen(B1), gap("a", at=at(20)), seen(A3), seen(B2)]) == []


def test_a_gap_may_be_told_again_by_the_next_connection() -> None:
    twice = [gap("a", at=at(20))] * 2
    assert found([seen(A1), seen(B1), *twice, seen(A3), seen(B2)]) == []


def test_events_of_other_topics_may_lie_between_a_gap_and_its_end() -> None:
    assert found([seen(A1), gap("a", at=at(10)), seen(B1), seen(A3), seen(B2)]) == []


def test_a_gap_may_be_the_beginning() -> None:
    assert found([gap("a", "b", at=at(5)), seen(A3), seen(B2)]) == []


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        ([seen(A1), seen(B1), seen(A2), seen(A2), seen(A3), seen(B2)], "comes twice"),
        ([seen(A1), seen(B1), seen(A2), seen(A2), seen(A3), seen(B2)], "is out of order"),
        ([seen(A1), seen(A2), seen(B1), seen(A3), seen(B2)], "is out of order"),
        ([seen(A1), seen(B1), seen(A3), seen(B2)], "a: 1 events before .* without a gap"),
        (
            [seen(A1), seen(B1), gap("b", at=at(20)), seen(A3), seen(B2)],
            "a: 1 events before .* without a gap",
        ),
        ([seen(B1), seen(A2), seen(A3), seen(B2)], "a: 1 events before .* without a gap"),
        (
            [seen(A1), seen(B1), seen(A2), gap("a", at=at(30)), seen(A3), seen(B2)],
            "a: a gap before .*, where nothing is missing",
        ),
        ([*WHOLE, gap("b", at=at(50))], "b: a gap before nothing"),
        (WHOLE[:-1], "b: the end is missing"),
        ([], "a: the end is missing"),
        ([seen(A1), gap("a", at=at(9)), *WHOLE[1:]], "a gap at .*: out of order"),
        ([seen(A1), gap("c", at=at(10)), *WHOLE[1:]], "c is no topic of this subscriber"),
        ([seen(A1, id=at(11)), *WHOLE[1:]], "was published as"),
        ([gap("a", at=at(5), reason="reset"), *WHOLE], "but the store has not begun anew"),
        ([seen(A1, id=at(10, NEW)), *WHOLE[1:]], "comes without a gap, though the store has begun"),
    ],
)
def test_a_fault_is_found(record: Sequence[Seen | Gap], fault: str) -> None:

    assert any(re.search(fault, one) for one in found(record))


def test_another_subscribers_topic_is_found() -> None:
    record = Record("b", at(5), [seen(A1), seen(B1), seen(B2)])
    assert list(violations(record, Ledger(EVENTS, 1))) == ["a is no topic of this subscriber"]


def test_what_was_still_kept_is_missed_in_spite_of_a_gap() -> None:
    record: list[Seen | Gap] = [seen(A1), seen(B1), gap("a", at=at(20)), seen(A3), seen(B2)]
    (fault,) = found(record, kept=2)
    assert "is missing, but was kept" in fault


def test_what_the_hub_may_have_dropped_by_then_is_not_missed() -> None:
    """At the moment 4.2, two events of the topic were published after the one that is missing."""
    events = [*EVENTS, Published("a", begun=4.1, id=at(60), told=9)]
    late = [seen(A3, moment=4.2), seen(B2), Seen(5, at(60), 9)]
    record: list[Seen | Gap] = [seen(A1), seen(B1), gap("a", at=at(20)), *late]
    assert found(record, ledger=Ledger(events, 2)) == []
    assert len(found(record, ledger=Ledger(events, 3))) == 1


class TestSeveralLives:
    """The store began a new life at 30: it has lost A3 and B2, and got two events more."""

    A4, B3 = 5, 6

    LEDGER = Ledger(
        [
            *EVENTS,
            Published("a", begun=6, id=at(60, NEW), told=6.5),
            Published("b", begun=7, id=at(70, NEW), told=7.5),
        ],
        kept=9,
        lives=[(OLD, 8), (NEW, 30)],
    )
    REST = (Seen(A4, at(60, NEW), 9), Seen(B3, at(70, NEW), 9))

    def found(self, *events: Seen | Gap) -> list[str]:
        return found(events, ledger=self.LEDGER)

    def test_what_is_lost_is_known(self) -> None:
        assert self.LEDGER.lost() == [A3, B2]
        assert Ledger(EVENTS, 9, [(OTHER, 100)]).lost() == [A1, B1, A2, A3, B2]

    def test_what_is_lost_may_come_or_not(self) -> None:
        lost = gap("a", "b", at=at(30, NEW), reason="lost")
        assert self.found(*WHOLE, lost, *self.REST) == []
        assert self.found(*WHOLE[:3], lost, *self.REST) == []

    def test_what_is_not_lost_must_come(self) -> None:
        early = gap("a", "b", at=at(20, NEW), reason="lost")
        kept = Seen(A2, at(30, NEW), 9)
        assert self.found(*WHOLE[:2], early, kept, *self.REST) == []
        (fault,) = self.found(*WHOLE[:2], early, *self.REST)
        assert "a: 1 events before" in fault

    def test_a_gap_is_told(self) -> None:
        assert any("without a gap" in fault for fault in self.found(*WHOLE, *self.REST))

    def test_what_is_lost_does_not_come_back(self) -> None:
        lost = gap("a", "b", at=at(30, NEW), reason="lost")
        (fault,) = self.found(*WHOLE[:3], lost, Seen(A3, at(40, NEW), 9), *self.REST)
        assert "was lost, and comes all the same" in fault

    def test_after_a_step_back_events_come_again(self) -> None:
        """A worker that is still at the old server knows nothing of the new one."""
        lost = gap("a", "b", at=at(30, NEW), reason="lost")
        back = gap("a", "b", at=at(9, OLD), reason="reset")
        assert self.found(*WHOLE, lost, *self.REST, back, *WHOLE, lost, *self.REST) == []

    def test_so_may_one_with_an_unknown_outcome(self) -> None:
        ledger = Ledger([*self.LEDGER.events, Published("a", begun=5)], 9, self.LEDGER.lives)
        lost = gap("a", "b", at=at(30, NEW), reason="lost")
        back = gap("a", "b", at=at(9, OLD), reason="reset")
        unknown = Seen(7, at(55), 9)
        record: list[Seen | Gap] = [
            *WHOLE,
            unknown,
            lost,
            *self.REST,
            back,
            *WHOLE,
            unknown,
            lost,
            *self.REST,
        ]
        assert found(record, ledger=ledger) == ["a: the end is missing"]
        assert len(found([*WHOLE, unknown, unknown], ledger=ledger)) > 1


class TestLedger:
    def test_ids_rise_if_publishing_was_awaited(self) -> None:
        assert list(Ledger(EVENTS, 1).violations()) == []
        wrong = [Published("a", 1, at(20), 2), Published("b", 3, at(10), 4)]
        (fault,) = Ledger(wrong, 1).violations()
        assert "before an event with a lower id was published" in fault

    def test_at_the_same_time_any_order_is_right(self) -> None:
        events = [Published("a", 1, at(20), 4), Published("b", 3, at(10), 4)]
        assert list(Ledger(events, 1).violations()) == []

    def test_an_id_is_of_one_event(self) -> None:
        events = [Published("a", 1, at(10), 2), Published("b", 1, at(10), 2)]
        assert list(Ledger(events, 1).violations()) == [f"two events have the id {at(10)}"]

    def test_what_is_not_known_to_be_published_may_come_once(self) -> None:
        ledger = Ledger([*EVENTS[:3], Published("a", begun=4), *EVENTS[3:]], 1)
        known = [seen(A1), seen(B1), seen(A2)]
        rest = [Seen(4, at(40), 9), Seen(5, at(50), 9)]
        unknown = Seen(3, at(35), 9)
        assert found([*known, *rest], ledger=ledger) == []
        assert found([*known, unknown, *rest], ledger=ledger) == []
        assert len(found([*known, unknown, unknown, *rest], ledger=ledger)) == 2
