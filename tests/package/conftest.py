"""The distributions, built as for a release, and an environment with nothing but the wheel."""

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.must_run import missing

ROOT = Path(__file__).parents[2]

LONGEST = 300
"""Seconds that building or installing may take."""


@dataclass(frozen=True)
class Distributions:
    """The two files of a release."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class Environment:
    """A virtual environment, and an empty folder in which its programs run."""

    python: Path
    folder: Path

    def install(self, *requirements: str) -> None:
        """Install requirements with what they need."""
        command = [str(self.python), "-m", "pip", "install", "--quiet", *requirements]
        subprocess.run(command, cwd=self.folder, check=True, timeout=LONGEST)

    def run(self, *arguments: str) -> str:
        """Run Python without what the environment of the tests sets, and return its output."""
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def variables(self) -> dict[str, str]:
        """What a program finds in its environment: no path to the sources."""
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Build the sdist, and from that the wheel."""
    if find_spec("build") is None:
        missing("build")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Distributions(wheel, sdist)


@pytest.fixture(scope="session")
def environment(
    distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """Install the wheel into an empty environment, without extras."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=True)
    (folder / "empty").mkdir()
    found = Environment(folder / "venv" / "bin" / "python", folder / "empty")
    found.install(str(distributions.wheel))
    return found
