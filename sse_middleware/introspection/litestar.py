"""Reads whether a function is for Litestar. Litestar is not a dependency, and is not imported."""

import sys
from typing import Any


def is_for_litestar(function: Any) -> bool:
    """Whether a function is for Litestar and not for FastAPI, by what its module imports."""
    if "litestar" not in sys.modules or "fastapi" not in sys.modules:
        return "litestar" in sys.modules
    names = getattr(function, "__globals__", {}).values()
    modules = [getattr(one, "__module__", None) or getattr(one, "__name__", "") for one in names]
    packages = {str(module).partition(".")[0] for module in modules}
    return "litestar" in packages and "fastapi" not in packages
