"""The tree of errors is complete, and its two branches can be distinguished."""

import pickle

import pytest

import sse_middleware
from sse_middleware import errors
from sse_middleware.errors import LONGEST_SHOWN, printable

ERRORS = [thing for thing in vars(errors).values() if isinstance(thing, type)]


@pytest.mark.parametrize("error", [one for one in ERRORS if issubclass(one, Exception)])
def test_the_docstring_of_the_module_draws_each_error(error: type[Exception]) -> None:
    assert issubclass(error, errors.SSEError)
    assert error.__name__ in (errors.__doc__ or "")


def test_the_errors_of_the_application_are_in_the_top_level() -> None:
    for error in (errors.ConfigurationError, errors.FieldError, errors.EncodingError):
        assert getattr(sse_middleware, error.__name__) is error


@pytest.mark.parametrize(
    "error", [errors.ConfigurationError, errors.FieldError, errors.EncodingError]
)
def test_an_error_of_the_application_is_a_value_error(error: type[Exception]) -> None:
    # Pydantic makes a ValidationError of it only if it is a ValueError.
    assert issubclass(error, ValueError)
    assert not issubclass(error, errors.EventTooLargeError)


def test_an_event_too_large_has_its_bound_and_what_was_decoded_before() -> None:
    error = errors.EventTooLargeError(10, ["a"])
    assert "max_event_size=10 bytes" in str(error)
    assert (error.max_event_size, error.decoded) == (10, ["a"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.decoded) == (str(error), error.decoded)


def test_a_run_too_large_has_its_bound() -> None:
    error = errors.RunTooLargeError(10)
    assert "max_bytes=10" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.max_bytes) == (str(error), 10)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", ""),
        ("/a b", "/a b"),
        ("/a\nWARNING \x1b[2J\r\0\x7f\x85\u2028é\U0001f600'\"\\", None),
        ("\ud800", r"\ud800"),
        (b"\x1b\n\xff", r"b'\x1b\n\xff'"),
        (ValueError("a\nb\u2028"), r"ValueError('a\nb\u2028')"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 200 + "..."),
        ("\U0001f600" * 10_000, None),
        (["\x1b" * 10_000], None),
    ],
)
def test_what_a_peer_sends_is_shown_in_printable_ascii(value: object, shown: str | None) -> None:
    found = printable(value)
    assert all(" " <= letter <= "~" for letter in found)
    assert len(found) <= LONGEST_SHOWN + len("...")
    assert shown in (None, found)


def test_another_representation_can_not_begin_a_line_either() -> None:
    class Forging:
        def __repr__(self) -> str:
            return "a\nWARNING\x1b[2J\u2028"

    assert printable(Forging()) == r"a\nWARNING\x1b[2J\u2028"
