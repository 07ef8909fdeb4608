"""`DEFAULT`: what stands where nothing was said."""

from enum import Enum
from typing import Literal


class Default(Enum):
    """The type of `DEFAULT`."""

    DEFAULT = "the default"

    def __repr__(self) -> str:
        """Read well in signatures and in the settings' own representation."""
        return "DEFAULT"


DEFAULT: Literal[Default.DEFAULT] = Default.DEFAULT
"""Stands where nothing was said, for what is only known later."""
