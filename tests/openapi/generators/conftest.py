"""The example as a server, and its document for the generators, with and without the option."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_app import serving
from tests.npm import install, node
from tests.openapi.generators.project import PACKAGES, Project


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    yield from serving("tests.openapi.generators.app")


@pytest.fixture(scope="session")
def packages(pytestconfig: pytest.Config) -> Path:
    node()
    return install(pytestconfig, *PACKAGES)


def project(folder: Path, packages: Path, *, data_schema: bool) -> Project:
    (folder / "node_modules").symlink_to(packages)
    made = Project(folder)
    made.write_document(data_schema=data_schema)
    return made


@pytest.fixture(scope="module")
def typed(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose document has the type of the data alone."""
    return project(tmp_path_factory.mktemp("typed"), packages, data_schema=True)


@pytest.fixture(scope="module")
def untyped(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose document is the default one."""
    return project(tmp_path_factory.mktemp("untyped"), packages, data_schema=False)
