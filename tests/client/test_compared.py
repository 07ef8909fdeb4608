"""Each line of the table in docs/clients-compared.md is what was observed now."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.client.compared import ROWS, Row
from tests.client.fault_server import FaultServer
from tests.client.observed import BUNDLER, PACKAGES, bundle, observe, table
from tests.npm import install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "clients-compared.md"


AGAIN = 3
"""How often what is not as documented is observed again: the machine may have stopped for longer
than a client had left to do what it does."""


@pytest.fixture(scope="module")
def lines(
    pytestconfig: pytest.Config, server: FaultServer, browser: Any, client: Path
) -> list[str]:
    """Return the lines of the table, without those of its head."""
    server.files |= bundle(install(pytestconfig, *PACKAGES, BUNDLER), client)
    documented = DOCUMENT.read_text("utf-8").splitlines()
    cells = observe(browser, server)
    for _ in range(AGAIN):
        if others := [row for row in cells if line_of(row, cells) not in documented]:
            cells |= observe(browser, server, others)
    return [line_of(row, cells) for row in cells]


def line_of(row: str, cells: Mapping[str, Sequence[str]]) -> str:
    *_, line = table({row: cells[row]})
    return line


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.right)
def test_a_line_of_the_table_is_what_was_observed(row: Row, lines: list[str]) -> None:
    documented = DOCUMENT.read_text("utf-8").splitlines()
    observed = lines[ROWS.index(row)]
    assert observed in documented, "\n".join(line for line in documented if row.right in line)


def test_the_table_has_no_other_lines(lines: list[str]) -> None:
    head, *documented = re.findall(r"^\| .*\|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert head == next(table({}))
    assert documented == lines


def test_the_document_names_the_versions() -> None:
    text = DOCUMENT.read_text("utf-8")
    for package in PACKAGES:
        name, _, version = package.rpartition("@")
        assert re.search(rf"`{re.escape(name)}` {re.escape(version)}\b", text), package
