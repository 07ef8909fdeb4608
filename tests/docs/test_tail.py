"""docs/tail.md says what the command does: its options, its exit codes, its output."""

import json
import re
import shlex
from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path

import pytest

from sse_middleware.cli.tail.arguments import EPILOG, add_arguments
from sse_middleware.cli.tail.ending import Ending
from sse_middleware.cli.tail.formats import EventJson, EventText
from sse_middleware.cli.tail.measures import Measures
from sse_middleware.wire.decoding import MessageEvent

PAGE = (Path(__file__).parents[2] / "docs" / "tail.md").read_text("utf-8")
CALL = "python -m sse_middleware tail "
AT = datetime.fromisoformat("2026-11-27T12:03:41.204+01:00")


def parser() -> ArgumentParser:
    made = ArgumentParser()
    add_arguments(made)
    return made


def test_the_table_has_all_options_as_the_help_has_them() -> None:
    rows = []
    for action in parser()._actions:
        if action.option_strings and action.dest != "help":
            value = f" {action.metavar}" if action.metavar else ""
            names = ", ".join(f"`{name}{value}`" for name in action.option_strings)
            rows.append(f"| {names} | {' '.join((action.help or '').split())} |\n")
    assert PAGE.endswith("\n| option | |\n|---|---|\n" + "".join(rows))


def test_the_exit_codes() -> None:
    _, _, table = PAGE.partition("| exit code | |\n|---|---|\n")
    codes = {int(one) for one in re.findall(r"(?m)^\| (\d) \|", table.partition("\n\n")[0])}
    assert codes == set(Ending)
    in_help = re.findall(r"(?m)^  (\d)  ", EPILOG)
    assert {int(one) for one in in_help} == set(Ending)


def test_each_command_can_be_parsed() -> None:
    commands = re.findall(rf"{CALL}(.*)", PAGE) + re.findall(r"(?m)^  tail (.*)", EPILOG)
    assert len(commands) >= 10
    for command in commands:
        arguments = shlex.split(re.split(r" (?:\||>>?) ", command)[0])
        parser().parse_args(arguments)


@pytest.mark.parametrize("event", [MessageEvent('{"symbol":"ACME","price":3.5}', "price", "17")])
def test_events_look_so(event: MessageEvent) -> None:
    assert f"\n{EventText(coloured=False)(event, AT)}" in PAGE
    shown = next(line for line in PAGE.splitlines() if line.startswith('{"time"'))
    data = json.dumps(json.loads(shown)["data"])
    assert EventJson()(MessageEvent(data, "price", "17"), AT) == f"{shown}\n"


def test_the_figures_have_these_names() -> None:
    measures = Measures(0)
    measures.event(1)
    measures.event(2)
    names = [line.split()[0] for line in measures.summary(3).splitlines()]
    _, _, shown = PAGE.partition("also after Ctrl-C:\n\n```text\n")
    assert [line.split()[0] for line in shown.partition("```")[0].splitlines()] == names
