"""The environments of tox: `.ci/run` runs each of them once, and each may reach the registries."""

from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PASSED = {"CI", "NODE_EXTRA_CA_CERTS"}
"""What an environment needs from outside: npm reads the second on a network with its own root."""


@pytest.fixture(scope="module")
def tox() -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read_string((ROOT / "tox.ini").read_text("utf-8"))
    return parser


def listed(text: str) -> list[str]:
    return [name.strip() for name in text.replace("\n", ",").split(",") if name.strip()]


def test_each_environment_is_in_one_group(tox: ConfigParser) -> None:
    groups = [line.partition("=")[2] for line in tox["tox"]["labels"].strip().splitlines()]
    grouped = [name for group in groups for name in listed(group)]
    assert sorted(grouped) == sorted(listed(tox["tox"]["env_list"]))


def test_the_groups_are_those_that_ci_runs(tox: ConfigParser) -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for line in tox["tox"]["labels"].strip().splitlines():
        assert f"-m {line.partition('=')[0].strip()}" in script


def test_each_environment_passes_on_what_npm_needs(tox: ConfigParser) -> None:
    assert set(listed(tox["testenv"]["pass_env"])) >= PASSED
    for section in tox.sections():
        passed = tox[section].get("pass_env") if section.startswith("testenv:") else None
        assert passed is None or "{[testenv]pass_env}" in passed, section
