"""The environments of tox: `.ci/run` runs each of them once, and each may reach the registries."""

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.plan import environments, listed, minutes, plan, read, table

ROOT = Path(__file__).parents[1]

PASSED = {"CI", "NODE_EXTRA_CA_CERTS"}
"""What an environment needs from outside: npm reads the second on a network with its own root."""


@pytest.fixture(scope="module")
def tox() -> ConfigParser:
    return read()


def test_each_environment_is_in_one_group(tox: ConfigParser) -> None:
    grouped = [name for group in table(tox["tox"]["labels"]) for name in environments(tox, group)]
    assert sorted(grouped) == sorted(environments(tox))


def test_the_groups_are_those_that_ci_runs(tox: ConfigParser) -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    for group in table(tox["tox"]["labels"]):
        assert f"\nrun_group {group} " in script


def test_the_plan_comes_first_and_the_slowest_last(tox: ConfigParser) -> None:
    most, names = minutes(tox), environments(tox)
    assert listed(tox["tox"]["env_list"]) == ["plan", *names]
    assert [most[name] for name in names] == sorted(most.values())
    assert plan(tox).splitlines()[-1].split()[:3] == [
        str(len(names)),
        names[-1],
        str(most[names[-1]]),
    ]


def test_the_slowest_of_a_group_is_the_first(tox: ConfigParser) -> None:
    most = minutes(tox)
    for group in table(tox["tox"]["labels"]):
        times = [most[name] for name in environments(tox, group)]
        assert times == sorted(times, reverse=True)


def test_the_names_of_a_group_are_printed_for_tox(tox: ConfigParser) -> None:
    command = [sys.executable, "-m", "tests.plan", "computing", "--names"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert printed.strip().split(",") == environments(tox, "computing")


def test_the_plan_of_a_group(tox: ConfigParser) -> None:
    title, *lines = plan(tox, "computing").splitlines()
    names = environments(tox, "computing")
    assert [line.split()[1] for line in lines] == names
    assert f"at most {sum(minutes(tox)[name] for name in names)} minutes" in title


def test_the_quick_environment_leaves_out_what_is_there(tox: ConfigParser) -> None:
    left_out = re.findall(r"--ignore (\S+)", tox["testenv:quick"]["commands"])
    assert left_out
    for path in left_out:
        assert (ROOT / path).exists(), path


def test_each_environment_passes_on_what_npm_needs(tox: ConfigParser) -> None:
    assert set(listed(tox["testenv"]["pass_env"])) >= PASSED
    for section in tox.sections():
        passed = tox[section].get("pass_env") if section.startswith("testenv:") else None
        assert passed is None or "{[testenv]pass_env}" in passed, section
