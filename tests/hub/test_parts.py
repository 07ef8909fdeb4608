"""The parts of a hub, one by one: ids, gaps, what is kept, rings, waking."""

from collections.abc import Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.loop import soon_caller
from sse_middleware.hub.abc import DAY, MARK_BITS, Entry, Incarnation, Kept, State
from sse_middleware.hub.backoff import Backoff
from sse_middleware.hub.cursor import Cursor
from sse_middleware.hub.gaps import GapReason, Verdict, floor_of, judge
from sse_middleware.hub.ids import IdFormat, Position, format_position, parse_position
from sse_middleware.hub.keep import Keep, KeepRules
from sse_middleware.hub.pump import WOKEN_AT_ONCE, Pump
from sse_middleware.hub.ring import Frames, Ring
from sse_middleware.hub.wanted import Wanted

clocks = st.integers(0, (1 << 55) - 1)
marks = st.integers(0, (1 << MARK_BITS) - 1)


class TestIds:
    @given(clocks, marks)
    def test_an_id_is_a_position(self, clock: int, mark: int) -> None:
        position = Position(clock, mark)
        text = format_position(position)
        assert len(text) == 15
        assert text == IdFormat(mark).of(clock)
        assert parse_position(text) == position

    @given(clocks, clocks, marks)
    def test_ids_sort_as_their_clocks_do(self, one: int, other: int, mark: int) -> None:
        ids = IdFormat(mark)
        assert (ids.of(one) < ids.of(other)) == (one < other)

    @given(st.text())
    def test_what_is_no_id_is_no_error(self, text: str) -> None:
        position = parse_position(text)
        assert position is None or format_position(position) == text

    def test_blocks(self) -> None:
        ids = IdFormat(3)
        assert ids.block(1) == b"id: 000000000010003\n\n"
        assert ids.with_id(1, b"data: x\n\n") == b"id: 000000000010003\ndata: x\n\n"

    @given(st.lists(clocks), marks)
    def test_many_blocks(self, clocks: list[int], mark: int) -> None:
        ids = IdFormat(mark)
        entries = [Entry(clock, 0, b"data: x\n\n") for clock in clocks]
        assert ids.with_ids(entries) == [ids.with_id(one.clock, one.block) for one in entries]


class TestGaps:
    state = State(1000, 2000, (Incarnation(1, 0), Incarnation(2, 500), Incarnation(3, 400)))

    @pytest.mark.parametrize(
        ("position", "verdict"),
        [
            (Position(5, 9), Verdict(None, GapReason.RESET)),
            (Position(1000, 3), Verdict(1000, None)),
            (Position(1001, 3), Verdict(1000, GapReason.RESET)),
            (Position(450, 2), Verdict(400, GapReason.LOST)),
            (Position(300, 2), Verdict(300, GapReason.LOST)),
            (Position(900, 1), Verdict(400, GapReason.LOST)),
        ],
    )
    def test_where_a_subscriber_goes_on(self, position: Position, verdict: Verdict) -> None:
        assert judge(position, self.state) == verdict

    def test_floors(self) -> None:
        now = State(10 * DAY, 11 * DAY, ())
        first = Entry(9 * DAY, 7, b"")
        assert floor_of(Kept(first, (), more=False, last=first.clock), now) == 7
        unknown = Entry(9 * DAY, 0, b"")
        assert floor_of(Kept(unknown, (), more=False, last=9 * DAY), now) == 8 * DAY
        assert floor_of(Kept(None, (), more=False, last=5), now) == 5
        assert floor_of(Kept(None, (), more=False, last=None), now) == 10 * DAY
        assert floor_of(Kept(None, (), more=False, last=None), State(5, 5, ())) == 0


class TestKeep:
    def test_the_first_pattern_that_matches_counts(self) -> None:
        rules = KeepRules({"a:*": Keep(1), "a:b": Keep(2), "[xy]?": Keep(3)})
        counts = [rules.of(name).count for name in ("a:b", "a:", "A:b", "x1", "z1", "x1\n")]
        assert counts == [1, 1, 100, 3, 100, 100]

    @pytest.mark.parametrize(
        "wrong", [{"count": -1}, {"count": True}, {"count": 1.5}, {"seconds": 0}, {"seconds": "1"}]
    )
    def test_what_can_not_be_kept(self, wrong: dict[str, int]) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(wrong))):
            Keep(**wrong)


class TestFrames:
    def test_slices(self) -> None:
        frames = Frames(5)
        assert frames.take(5, 9, 100) == (b"", 0, 9)
        for clock in (10, 20, 30, 40):
            frames.append(clock, b"%d" % clock)
        assert frames.take(5, 40, 100) == (b"10203040", 4, 40)
        assert frames.take(5, 50, 100) == (b"10203040", 4, 50)
        assert frames.take(10, 35, 100) == (b"2030", 2, 35)
        assert frames.take(10, 40, 5) == (b"2030", 2, 30)
        assert frames.take(10, 40, 1) == (b"20", 1, 20)
        assert frames.take(30, 40, 1) == (b"40", 1, 40)
        assert frames.take(40, 60, 1) == (b"", 0, 60)
        assert list(frames.after_clock(25)) == [(30, b"30"), (40, b"40")]

    def test_a_slice_that_many_ask_for_is_joined_once(self) -> None:
        frames = Frames(0)
        for clock in range(1, 40):
            frames.append(clock, b"%d " % clock)
        joined = frames.take(0, 40, 1000)[0]
        assert frames.take(0, 40, 1000)[0] is joined
        for after in range(1, 20):
            frames.take(after, 40, 1000)
        assert len(frames._joined) <= 8


class TestRing:
    @given(st.lists(st.integers(0, 30), min_size=1, max_size=300), st.integers(1, 60))
    def test_it_has_the_newest(self, sizes: list[int], size: int) -> None:
        ring = Ring(size)
        blocks = [bytes([65 + at % 26]) * length for at, length in enumerate(sizes)]
        for clock, block in enumerate(blocks, 1):
            ring.put(clock, block)
            held = list(ring.after_clock(0))
            assert [one for one, _ in held] == list(range(ring.floor + 1, clock + 1))
            assert [block for _, block in held] == blocks[ring.floor : clock]
            assert len(held) == 1 or sum(len(one) for _, one in held) <= size
            assert ring.take(ring.floor, clock, 10**6)[0] == b"".join(blocks[ring.floor : clock])
            if ring.floor:
                over = sum(map(len, blocks[ring.floor - 1 : clock]))
                assert over > size - size // 32 or not len(blocks[ring.floor - 1])

    def test_what_has_gone_is_cut_off(self) -> None:
        ring = Ring(100)
        for clock in range(1, 1000):
            ring.put(clock, b"0123456789")
        assert (ring.floor, len(list(ring.after_clock(0)))) == (990, 9)
        assert len(ring._clocks) < 150

    def test_it_restarts(self) -> None:
        ring = Ring(10)
        ring.put(1, b"1" * 20)
        ring.put(2, b"2" * 20)
        assert (ring.floor, ring.last) == (1, 2)
        ring.restart(7)
        assert (ring.floor, ring.last, list(ring.after_clock(0))) == (7, 7, [])


class Sleeper:
    def __init__(self, woken: list[int]) -> None:
        self._woken = woken

    def wake(self) -> None:
        self._woken[-1] += 1


class Watched:
    def __init__(self, subscribers: list[Sleeper]) -> None:
        self.subscribers = subscribers


class TestPump:
    def passes(self, woken: list[int], calls: list[Callable[[], object]]) -> list[int]:
        while calls:
            woken.append(0)
            calls.pop()()
            assert len(calls) <= 1
        return woken

    def test_some_at_a_time(self) -> None:
        woken: list[int] = []
        calls: list[Callable[[], object]] = []
        pump = Pump(calls.append)
        many = Watched([Sleeper(woken) for _ in range(2 * WOKEN_AT_ONCE + 1)])
        few, none = Watched([Sleeper(woken)]), Watched([])
        for topic in (none, many, few, many):
            pump.wake_all_of(topic)
        assert len(calls) == 1
        assert self.passes(woken, calls) == [WOKEN_AT_ONCE, WOKEN_AT_ONCE, 2]
        pump.wake(few.subscribers)
        assert self.passes([], calls) == [0]

    def test_exactly_one_pass(self) -> None:
        woken: list[int] = []
        calls: list[Callable[[], object]] = []
        pump = Pump(calls.append)
        pump.wake_all_of(Watched([Sleeper(woken) for _ in range(WOKEN_AT_ONCE)]))
        assert self.passes(woken, calls) == [WOKEN_AT_ONCE]

    @pytest.mark.anyio
    async def test_in_an_event_loop(self) -> None:
        woken = [0]
        pump = Pump(soon_caller())
        pump.wake([Sleeper(woken)])
        assert woken == [0]
        await anyio.sleep(0.001)
        assert woken == [1]


def test_each_wait_is_longer_up_to_a_limit() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.next() for _ in range(8)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])
    backoff.reset()
    assert backoff.next() == pytest.approx(0.1)
    assert Backoff(lambda: 0.0).next() == pytest.approx(0.05)


def test_a_client_may_get_no_block_that_has_only_an_id() -> None:
    cursor = Cursor(Wanted(("a",), Position(1, 2)))
    assert cursor.block() == f"id: {format_position(Position(1, 2))}\n\n".encode()
    cursor.sends_positions = False
    assert cursor.block() == b""
