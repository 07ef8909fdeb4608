"""What a type annotation says, whatever it is called."""

from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

UNIONS = (Union, UnionType)


def evaluated(annotation: Any, function: Any) -> Any:
    """Return an annotation with its strings evaluated, where a function was written.

    Raises:
        Exception: whatever evaluating them does.
    """

    def carrying() -> None:
        """Carry the one annotation that matters: the others need not be evaluable."""

    carrying.__annotations__ = {"it": annotation}
    scope = getattr(function, "__globals__", {})
    return get_type_hints(carrying, globalns=scope, include_extras=True)["it"]


def without_alias(annotation: Any) -> Any:
    """Return what a ``type`` statement stands for."""
    while True:
        generic = get_origin(annotation) or annotation
        if not hasattr(generic, "__value__"):
            return annotation
        value = generic.__value__
        annotation = value if generic is annotation else value[get_args(annotation)]
