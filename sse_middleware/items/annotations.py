"""Evaluates type annotations: strings, and aliases of ``type`` statements."""

from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

UNIONS = (Union, UnionType)


def evaluated(annotation: Any, function: Any) -> Any:
    """Return an annotation with its strings evaluated in the module of a function.

    Raises:
        Exception: whatever the evaluation raises.
    """

    def holder() -> None:
        """Hold only this annotation: the function's others need not be evaluable."""

    holder.__annotations__ = {"it": annotation}
    scope = getattr(function, "__globals__", {})
    return get_type_hints(holder, globalns=scope, include_extras=True)["it"]


def without_alias(annotation: Any) -> Any:
    """Return the type that an alias of a ``type`` statement names, or any other type itself."""
    while True:
        generic = get_origin(annotation) or annotation
        if not hasattr(generic, "__value__"):
            return annotation
        value = generic.__value__
        annotation = value if generic is annotation else value[get_args(annotation)]


def names_class(annotation: Any, wanted: type) -> bool:
    """Whether an annotation names a class or a subclass, also in a union or another type."""
    if isinstance(annotation, type):
        return issubclass(annotation, wanted)
    return any(names_class(part, wanted) for part in get_args(annotation))


def returns_class(function: Any, wanted: type) -> bool:
    """Whether a function is annotated to return a class, if its annotation can be evaluated."""
    try:
        returned = evaluated(getattr(function, "__annotations__", {}).get("return", Any), function)
    except Exception:
        return False
    return names_class(returned, wanted)
