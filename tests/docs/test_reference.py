"""The tables of settings and metrics name what there is, with its defaults."""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

import sse_middleware.observers.opentelemetry as opentelemetry_observer
from sse_middleware import SSEMiddleware, StreamOptions
from sse_middleware.settings import StreamSettings
from sse_middleware.validation import UNSET
from tests.docs.pages import DOCS, blocks_of

SETTINGS = (DOCS / "reference" / "settings.md").read_text("utf-8")


METRICS = (DOCS / "metrics.md").read_text("utf-8")


def metrics() -> set[str]:
    """Return the metrics that the page names."""
    return set(re.findall(r"^\| `(sse\.[\w.]+)`", METRICS, re.MULTILINE))


def rows(text: str) -> dict[str, str]:
    """Return the second column of a table by the names in the first one."""
    found = re.findall(r"^\| (`.*?`) \| (.*?) \|", text, re.MULTILINE)
    return {name: cell for names, cell in found for name in re.findall(r"`(\w+)`", names)}


def test_each_setting_of_a_stream_has_its_row() -> None:
    table, _, _ = SETTINGS.partition("## Of the whole application")
    assert set(rows(table)) == set(get_type_hints(StreamOptions))


def test_the_defaults_are_those_of_the_code() -> None:
    shown = rows(SETTINGS)
    for field in fields(StreamSettings):
        if field.init and field.default is not UNSET:
            value = field.default
            text = f'"{value}"' if isinstance(value, str) else f"{value}"
            number = f"{value:g}" if isinstance(value, float) else text
            assert shown[field.name].strip("`") in {text, number}, field.name


def test_each_setting_of_the_application_has_its_row() -> None:
    _, _, table = SETTINGS.partition("## Of the whole application")
    arguments = set(inspect.signature(SSEMiddleware).parameters) - {"app", "settings"}
    assert set(rows(table)) == arguments


def test_the_metrics_are_those_of_the_observer() -> None:
    code = Path(opentelemetry_observer.__file__).read_text("utf-8")
    assert metrics() == set(re.findall(r'"(sse\.server\.[\w.]+)"', code))


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    named = {name.replace(".", "_") for name in metrics()}
    asked = set(re.findall(r"\b(sse_server_\w+?)(?:_total|_seconds_bucket)?\b", METRICS))
    assert asked
    assert asked <= named


def test_each_command_has_its_heading() -> None:
    page = (DOCS / "reference" / "command-line.md").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sse_middleware", "--help"],
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    commands = re.findall(r"^    (\w+)\b", done.stdout, re.MULTILINE)
    assert commands
    assert re.findall(r"^## `(\w+)`", page, re.MULTILINE) == sorted(commands)


@pytest.mark.skipif(sys.version_info[:2] != (3, 13), reason="each Python formats help differently")
def test_the_help_is_as_it_is_shown() -> None:
    [shown] = blocks_of(DOCS / "reference" / "command-line.md", "text")
    done = subprocess.run(
        [sys.executable, *shown.title.split()[1:]],
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == shown.code
