"""The site, built once."""

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from tests.sight import axe, screenshots

__all__ = ["axe", "screenshots"]  # fixtures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """Return the module that builds sites, or skip the test where its tools are missing."""
    if "CI" not in os.environ:
        pytest.importorskip("zensical")
        pytest.importorskip("mkdocstrings_handlers.python")
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs" / "build_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def site(builder: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site, and return its folder."""
    html: Path = builder.build(ROOT, tmp_path_factory.mktemp("site"))
    return html
