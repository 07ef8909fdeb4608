"""Data as JSON: with the object keys that FastAPI gives, and on a single line for every client.

Rules of this file:
- Pydantic writes the JSON. NaN and infinities become null, because JSON has no such numbers.
- The keys of a dict become what FastAPI makes of them with ``jsonable_encoder`` and ``json``:
  ``None`` becomes ``"null"``, an infinity ``"Infinity"``. A key that FastAPI refuses becomes what
  Pydantic makes of it. A model writes its own keys, in FastAPI too.
- If two keys of one object would have the same name, the data is refused: a client would keep only
  one of their values.
- What is given is never changed.
"""

import json
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from types import GeneratorType, NoneType
from typing import Any
from uuid import UUID

from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import CoreConfig, any_schema

from sse_middleware.wire.encoding import single_line

_serializer = SchemaSerializer(any_schema(), CoreConfig(ser_json_inf_nan="null"))

# Like pydantic_core.to_json, but with compiled options, which takes half the time.
write_json = _serializer.to_json
"""Write data with Pydantic's own keys."""

to_python = _serializer.to_python
"""Turns what is not JSON into plain values, with Pydantic's options for dumping."""

_SEQUENCES = (list, tuple, deque)
"""What becomes an array and may have dicts in it. So does a generator, which can be read once."""

KEYLESS = frozenset((str, int, float, bool, NoneType))
"""Types of JSON's values without keys."""

_PLAIN_KEYS = frozenset((str, int, UUID))
"""For keys of one of these types, Pydantic and FastAPI choose the same names, and different keys
get different names."""


def to_json(value: Any, **options: Any) -> bytes:
    """Return any data as JSON on a single line.

    Args:
        value: the data.
        options: Pydantic's options for dumping, such as ``by_alias``.

    Raises:
        ValueError: two keys of one object would have the same name.
        Exception: Pydantic can't write the data.
    """
    return single_line(unescaped_json(value, **options))


def unescaped_json(value: Any, **options: Any) -> bytes:
    """Return any data as JSON, not escaped yet. Raises like `to_json`."""
    return with_names(value, options) if has_odd_keys(value) else write_json(value, **options)


def with_names(value: Any, options: Mapping[str, Any]) -> bytes:
    """Return the JSON of data that has odd keys. Raises like `to_json`."""
    try:
        value = _named_copy(value)
    except RecursionError:
        return write_json(value, **options)  # says that the data contains itself
    return _checked_keys(write_json(value, **options))


def has_odd_keys(value: Any) -> bool:
    """Whether Pydantic may name a key in data unlike FastAPI does, or name two keys alike."""
    try:
        return _has_odd_keys(value)
    except RecursionError:
        return False  # Pydantic says that the data contains itself


def _has_odd_keys(value: Any) -> bool:
    kind = type(value)
    if kind in KEYLESS:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str:
                if _are_odd(value):
                    return True
                break
        inner = value.values()
    elif kind is list or kind is tuple:
        inner = value
    else:
        return _has_odd_keys_inside(value)
    for one in inner:  # noqa: SIM110 - a generator takes twice as long
        if type(one) not in KEYLESS and _has_odd_keys(one):
            return True
    return False


def _are_odd(keys: Iterable[Any]) -> bool:
    kinds = set(map(type, keys))
    return len(kinds) > 1 or not kinds <= _PLAIN_KEYS


def _has_odd_keys_inside(value: Any) -> bool:
    """Look into what is not exactly a dict, a list or a tuple."""
    if isinstance(value, dict):
        return _has_odd_keys(dict(value))
    # What a generator yields can't be known before.
    return isinstance(value, GeneratorType) or any(map(_has_odd_keys, _parts_of(value)))


def _parts_of(value: Any) -> Iterable[Any]:
    """Return the values in a dict, a sequence, a dataclass or a model."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, _SEQUENCES):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in fields(value)]
    if hasattr(value, "__pydantic_serializer__") and not isinstance(value, type):
        return [value.__dict__, getattr(value, "__pydantic_extra__", None)]
    return ()


def refuse_same_names(value: Any) -> None:
    """Raise ValueError if Pydantic would give two keys of one dict the same name.

    It may keep one of the two values by itself, so this can't be read from its text.
    """
    if isinstance(value, dict) and _are_odd(value):
        _refuse_same((_pydantic_name(key), None) for key in value)
    for part in _parts_of(value):
        refuse_same_names(part)


def _pydantic_name(key: Any) -> str:
    [name] = json.loads(write_json({key: None}))
    return str(name)


def _checked_keys(text: bytes) -> bytes:
    """Return JSON, or raise ValueError if an object in it has the same key twice."""
    json.loads(text, object_pairs_hook=_refuse_same, parse_int=str, parse_float=str)
    return text


def _refuse_same(pairs: Iterable[tuple[Any, Any]]) -> None:
    seen = set()
    for name, _ in pairs:
        if name in seen:
            raise ValueError(
                f"two keys of one object are both sent as {name!r}, so a client would keep only "
                "one of their values: give them different names"
            )
        seen.add(name)


def _named_copy(value: Any) -> Any:
    """Return a copy of data in which the keys of dicts have their names."""
    if isinstance(value, dict):
        pairs = [(_name(key), _named_copy(inner)) for key, inner in value.items()]
        _refuse_same(pairs)
        return dict(pairs)
    if isinstance(value, (*_SEQUENCES, GeneratorType)):
        return [_named_copy(inner) for inner in value]
    if is_dataclass(value) and not hasattr(value, "__pydantic_serializer__"):
        return {field.name: _named_copy(getattr(value, field.name)) for field in fields(value)}
    refuse_same_names(value)  # a model writes its own keys
    return value


def _name(key: Any) -> Any:
    """Return the name that FastAPI gives to a key, or the key itself where Pydantic gives it."""
    if isinstance(key, Enum):
        return _name(key.value)
    if isinstance(key, Decimal):
        exponent = key.as_tuple().exponent
        key = int(key) if isinstance(exponent, int) and exponent >= 0 else float(key)
    elif isinstance(key, timedelta):
        key = key.total_seconds()
    if isinstance(key, date | time):  # a datetime is a date
        return key.isoformat()
    if isinstance(key, PurePath):
        return str(key)
    if key is None or isinstance(key, float):
        return json.dumps(key)  # null, Infinity
    return key
