"""What `format_sse_event` refuses to write. What it writes is in the table of test_roundtrip."""

import re
import tracemalloc
from typing import Any

import pytest

from sse_middleware.errors import FieldError
from sse_middleware.wire.encoding import (
    as_data,
    encode_event,
    encode_named_event,
    event_line,
    format_sse_event,
)
from tests.wire.refused import REFUSED_FIELDS


def test_data_that_is_already_utf8_is_written_like_text() -> None:
    written = encode_event("\u00e9\r\n1\r2".encode(), event="m", id="7", retry=1, comment="c")
    assert written == b": c\nevent: m\ndata: \xc3\xa9\ndata: 1\ndata: 2\nid: 7\nretry: 1\n\n"


@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"])
def test_many_lines_of_data_are_not_written_one_by_one(line_end: bytes) -> None:
    data = line_end * 100_000
    tracemalloc.start()
    try:
        written = encode_event(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written == b"data: \n" * 100_001 + b"\n"
    assert peak < 4 * len(written), "an object for each line takes more"


@pytest.mark.parametrize(("field", "value"), REFUSED_FIELDS)
def test_a_bad_field_is_refused_by_name_and_value(field: str, value: Any) -> None:
    fields: Any = {"data_str": "", field: value}
    with pytest.raises(FieldError, match=f"^{field} must be .*{re.escape(repr(value))}$"):
        format_sse_event(**fields)


@pytest.mark.parametrize("field", ["data_str", "event", "id", "comment"])
@pytest.mark.parametrize("value", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_is_refused(field: str, value: str) -> None:
    fields: Any = {field: value}
    name = field.removesuffix("_str")  # as the standard calls it
    with pytest.raises(FieldError, match=f"^{name} .*{re.escape(ascii(value[-1]))}"):
        format_sse_event(**fields)


@pytest.mark.parametrize("value", [5, b"x", ["x"], True])
def test_data_that_is_not_a_str_is_refused(value: Any) -> None:
    with pytest.raises(FieldError, match=f"^data must be a str, got {re.escape(repr(value))}$"):
        format_sse_event(data_str=value)


@pytest.mark.parametrize("data", [b"a\nb", b"a\rb", b"a\r\nb"])
@pytest.mark.parametrize("id", [None, "1", "\u00e4 1", "\t"])
@pytest.mark.parametrize("event", [None, "x"])
def test_a_named_event_is_written_like_any_other(
    data: bytes, id: str | None, event: str | None
) -> None:
    written = encode_named_event(event_line(event), as_data(data), id)
    assert written == encode_event(data, event=event, id=id)


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b", "\ud800", 5])
def test_an_event_that_skipped_its_validation_is_refused(bad: Any) -> None:
    with pytest.raises(FieldError, match=r"^event "):
        event_line(bad)
    with pytest.raises(FieldError, match=r"^id "):
        encode_named_event(b"", b"1", bad)
