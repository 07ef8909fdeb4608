"""The registry of one event loop: what it tells observers."""

import pytest

from sse_middleware import CloseReason
from sse_middleware.observers import (
    EventsSent,
    FirstEvent,
    PingSent,
    StreamClosed,
    StreamOpened,
    StreamRecord,
)
from tests.registry.slots import INFO, OpenStream, admitted, registry_of


@pytest.mark.anyio
class TestObservers:
    async def test_all_get_the_records_in_order(self) -> None:
        records: list[list[StreamRecord]] = [[], []]
        registry = registry_of(observers=[one.append for one in records])
        registry.clock = iter((10.0, 12.5)).__next__
        slot = admitted(registry, "a", INFO)
        slot.opened(OpenStream())
        slot.tell(PingSent(INFO, 8))
        slot.tell(FirstEvent(INFO, slot.seconds(11.0)))
        slot.tell(EventsSent(INFO, 2, 20))
        error = KeyError()
        slot.closed(CloseReason.ERROR, error)
        assert records[0] == records[1]
        assert records[0] == [
            StreamOpened(INFO),
            PingSent(INFO, 8),
            FirstEvent(INFO, 1.0),
            EventsSent(INFO, 2, 20),
            StreamClosed(INFO, CloseReason.ERROR, 2, 20, 2.5, error),
        ]

    async def test_get_one_record_of_a_refusal(self) -> None:
        records: list[StreamRecord] = []
        registry = registry_of(max_streams=1, observers=[records.append])
        admitted(registry)
        registry.enter("a", INFO)
        assert records == [StreamClosed(INFO, CloseReason.REFUSED, 0, 0, 0.0)]

    async def test_get_no_counts_of_a_stream_that_never_opened(self) -> None:
        records: list[StreamRecord] = []
        registry = registry_of(observers=[records.append])
        registry.clock = float
        admitted(registry, "a", INFO).closed(CloseReason.ERROR, None)
        assert records == [StreamClosed(INFO, CloseReason.ERROR, 0, 0, 0.0)]

    async def test_that_fail_are_logged_and_do_not_affect_others(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(_: StreamRecord) -> None:
            raise KeyError("broken observer")

        records: list[StreamRecord] = []
        registry = registry_of(observers=[broken, records.append])
        registry.tell(StreamOpened(INFO))
        assert records == [StreamOpened(INFO)]
        assert "broken observer" in caplog.text
