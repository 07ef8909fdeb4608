"""What a type annotation says, whatever it is called."""

from types import UnionType
from typing import Any, Union, get_args, get_origin

UNIONS = (Union, UnionType)


def without_alias(annotation: Any) -> Any:
    """Return what a ``type`` statement stands for."""
    while True:
        generic = get_origin(annotation) or annotation
        if not hasattr(generic, "__value__"):
            return annotation
        value = generic.__value__
        annotation = value if generic is annotation else value[get_args(annotation)]
