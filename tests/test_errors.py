"""The tree of errors is complete, and its two branches can be told apart."""

import pickle

import pytest

import sse_middleware
from sse_middleware import errors

ERRORS = [thing for thing in vars(errors).values() if isinstance(thing, type)]


@pytest.mark.parametrize("error", [one for one in ERRORS if issubclass(one, Exception)])
def test_every_error_is_of_the_tree_drawn_at_the_files_head(error: type[Exception]) -> None:
    assert issubclass(error, errors.SSEError)
    assert error.__name__ in (errors.__doc__ or "")


def test_the_errors_of_the_application_are_at_the_top() -> None:
    for error in (errors.ConfigurationError, errors.FieldError, errors.EncodingError):
        assert getattr(sse_middleware, error.__name__) is error


@pytest.mark.parametrize(
    "error", [errors.ConfigurationError, errors.FieldError, errors.EncodingError]
)
def test_what_the_application_did_wrong_is_a_value_error(error: type[Exception]) -> None:
    # Pydantic makes a ValidationError of it only if it is a ValueError.
    assert issubclass(error, ValueError)
    assert not issubclass(error, errors.EventTooLargeError)


def test_an_event_too_large_says_the_bound_and_what_came_before() -> None:
    error = errors.EventTooLargeError(10, ["a"])
    assert "max_event_size=10 bytes" in str(error)
    assert (error.max_event_size, error.decoded) == (10, ["a"])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.decoded) == (str(error), error.decoded)
