"""The sources of each peer, with the suite that its wheel doesn't contain."""

import subprocess
import sys
import tarfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

DOWNLOAD = 120.0
"""Seconds that PyPI has to answer. The archive of FastAPI has two megabytes."""


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns a fresh folder with the sources of an installed package."""
    archives = tmp_path_factory.mktemp("archives")

    def unpacked(peer: str) -> Path:
        name = f"{peer}-{version(peer)}"
        archive = archives / f"{name}.tar.gz"
        if not archive.exists():
            _download(f"{peer}=={version(peer)}", archives)
        folder = tmp_path_factory.mktemp(peer)
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        return folder / name

    return unpacked


def _download(requirement: str, folder: Path) -> None:
    peer, _, _ = requirement.partition("==")
    command = ["download", "--no-deps", "--no-binary", peer, "--dest", str(folder), requirement]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DOWNLOAD,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
