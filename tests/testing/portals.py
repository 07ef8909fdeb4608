"""The event loops whose options a blocking portal takes."""

from importlib.metadata import version

import pytest

OLD_ANYIO = tuple(map(int, version("anyio").split(".")[:2])) < (4, 14)
forgets_options = pytest.mark.skipif(OLD_ANYIO, reason="anyio hands trio no options")
ON_PORTALS = ["asyncio", pytest.param("trio", marks=forgets_options)]
"""The backends whose options `anyio.run` and blocking portals take."""
