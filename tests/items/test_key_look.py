"""`KeyLook` looks at the keys of the first items."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sse_middleware.items.item_encoding import LOOKED_AT, ItemEncoding
from sse_middleware.items.key_look import KeyLook
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.wire.json_text import write_json
from tests.items.encoding import encoder_of
from tests.stream.frames import Frames

pytestmark = pytest.mark.anyio

ODD: Any = {None: 1, "a": {"b": 2}}


def looking(looks: float) -> KeyLook:
    keys = KeyLook(ItemEncoding(StreamSettings(), None, "endpoint"))
    keys.looks = looks
    return keys


@pytest.mark.parametrize("value", [1, "a", {"a": 1}, {"a": {"b": [1]}}, [{"a": 1}]])
def test_it_ends_after_its_number_of_items(value: Any) -> None:
    keys = looking(2)
    for left in (1, 0):
        assert not keys.is_odd(value)
        assert keys.looks == left
    assert not keys.is_odd(ODD)
    assert keys.trusts(ODD)


def test_it_never_ends_once_a_key_was_odd() -> None:
    keys = looking(2)
    for _ in range(3):
        assert keys.is_odd(ODD)
        assert not keys.trusts(ODD)
        assert keys.text(ODD, by_alias=True) == b'{"null":1,"a":{"b":2}}'
    assert keys.looks


def test_it_trusts_flat_data_and_counts_that_as_a_look() -> None:
    keys = looking(2)
    assert keys.trusts({"a": 1})
    assert not keys.trusts({"a": {}})
    assert keys.looks == 1


async def test_a_producer_in_full_flow_comes_to_encode_without_a_look() -> None:
    async def many() -> AsyncIterator[Any]:
        for _ in range(2 * LOOKED_AT):
            yield {"a": 1}

    encoder = encoder_of()
    sink = Frames(full=300)  # so that it looks at some more than it must
    await AsyncProducer(many(), encoder).produce(sink)
    assert len(sink) == 2 * LOOKED_AT
    assert encoder.to_text == write_json
