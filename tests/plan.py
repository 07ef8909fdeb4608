"""``python -m tests.plan``: what ``tox run`` is about to do, and how long each part may take.

``python -m tests.plan memory`` is about one group of environments. It reads all from `tox.ini` and
needs nothing but Python.
"""

import sys
from configparser import ConfigParser
from pathlib import Path

TOX = Path(__file__).parents[1] / "tox.ini"


def read() -> ConfigParser:
    """Return what `tox.ini` says."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(TOX.read_text("utf-8"))
    return parser


def listed(text: str) -> list[str]:
    """Return the names in a list of tox."""
    return [name.strip() for name in text.replace("\n", ",").split(",") if name.strip()]


def table(text: str) -> dict[str, str]:
    """Return the lines ``name = value`` of a setting."""
    parts = (line.partition("=") for line in text.strip().splitlines())
    return {name.strip(): value.strip() for name, _, value in parts}


def minutes(tox: ConfigParser) -> dict[str, int]:
    """Return the most minutes that each environment takes."""
    return {name: int(value) for name, value in table(tox["plan"]["minutes"]).items()}


def environments(tox: ConfigParser, group: str = "") -> list[str]:
    """Return the environments that tox runs, in its order: all, or those of a group."""
    names = table(tox["tox"]["labels"])[group] if group else tox["tox"]["env_list"]
    return [name for name in listed(names) if name != "plan"]


def plan(tox: ConfigParser, group: str = "") -> str:
    """Return the plan as text."""
    names, most = environments(tox, group), minutes(tox)
    total = sum(most[name] for name in names)
    lines = [f"{len(names)} environments, at most {total} minutes one by one on two quiet cores:"]
    for number, name in enumerate(names, 1):
        section = f"testenv:{name}" if tox.has_section(f"testenv:{name}") else "testenv"
        lines.append(f"{number:3}  {name:11} {most[name]:2} min  {tox[section]['description']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{plan(read(), *sys.argv[1:])}\n")
