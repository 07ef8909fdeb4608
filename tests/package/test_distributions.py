"""What a release consists of: the files of the package, and what an index shows of them."""

import subprocess
import sys
import tarfile
from email import message_from_string
from email.message import Message
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

import sse_middleware
from tests.must_run import missing
from tests.package.conftest import LONGEST, ROOT, Distributions

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(LONGEST)]

PACKAGE = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "sse_middleware").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}
NAME = f"sse_middleware-{sse_middleware.__version__}"


def metadata(distributions: Distributions) -> Message:
    with ZipFile(distributions.wheel) as wheel:
        return message_from_string(wheel.read(f"{NAME}.dist-info/METADATA").decode())


def test_the_wheel_has_every_file_of_the_package(distributions: Distributions) -> None:
    with ZipFile(distributions.wheel) as wheel:
        names = set(wheel.namelist())
    own = {name for name in names if not name.startswith(f"{NAME}.dist-info/")}
    assert own == PACKAGE
    assert "sse_middleware/py.typed" in own
    assert f"{NAME}.dist-info/licenses/LICENSE" in names


def test_the_sdist_has_what_the_wheel_is_built_from(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as sdist:
        names = {Path(name).relative_to(NAME).as_posix() for name in sdist.getnames()}
    documents = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO"}
    assert names - {".gitignore"} == PACKAGE | documents


def test_an_index_takes_the_files(distributions: Distributions) -> None:
    """It renders the README, for example."""
    if find_spec("twine") is None:
        missing("twine")
    files = (str(distributions.wheel), str(distributions.sdist))
    command = [sys.executable, "-m", "twine", "check", "--strict", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, done.stdout


def test_the_metadata(distributions: Distributions) -> None:
    found = metadata(distributions)
    assert found["Version"] == sse_middleware.__version__
    assert found["Requires-Python"] == ">=3.11"
    needed = [line for line in found.get_all("Requires-Dist", ()) if "extra ==" not in line]
    names = ["anyio", "asgiref", "pydantic", "starlette", "typing-extensions"]
    assert sorted(line.partition(">")[0] for line in needed) == names
