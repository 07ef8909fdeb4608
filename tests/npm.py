"""What npm installs for tests. Each caller pins the versions of its own packages.

Rules of this file:
- A set of packages is installed once. It stays in pytest's cache until the set changes.
- No script of a package runs when it is installed.
"""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.must_run import missing

LONGEST = 300
"""Seconds for installing one set of packages."""

_OPTIONS = ("--no-save", "--no-audit", "--no-fund", "--ignore-scripts")


def node() -> str:
    """Return the path of node."""
    return _tool("node")


def install(config: pytest.Config | None, *packages: str) -> Path:
    """Install packages, unless they are there from the last time.

    Args:
        config: of pytest. Without it and its cache, the packages are installed each time.
        packages: names with versions, as ``eventsource@4.1.0``.

    Returns:
        The folder ``node_modules``.
    """
    npm = _tool("npm")
    folder = _cache(config) / sha256(" ".join(packages).encode()).hexdigest()[:16]
    if not folder.exists():
        made = Path(mkdtemp(dir=folder.parent))  # another process may install the same
        command = [npm, "install", *_OPTIONS, "--prefix", str(made), *packages]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LONGEST)
        assert done.returncode == 0, done.stderr
        try:
            made.rename(folder)
        except OSError:  # it did
            shutil.rmtree(made)
    return folder / "node_modules"


def _cache(config: pytest.Config | None) -> Path:
    cache: pytest.Cache | None = getattr(config, "cache", None)
    return Path(mkdtemp()) if cache is None else cache.mkdir("npm")


def _tool(name: str) -> str:
    path = shutil.which(name)
    return missing(name) if path is None else path
