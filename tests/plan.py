"""``python -m tests.plan``: what ``tox run`` is about to do, and how long each part may take.

``python -m tests.plan computing`` is about one group of environments. With ``--names`` it prints
nothing but their names, for ``tox run -e``, since tox itself runs a group in the order of all. It
reads everything from `tox.ini` and needs nothing but Python.
"""

import sys
from argparse import ArgumentParser
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
    lines = text.replace("\\\n", "").strip().splitlines()
    parts = (line.partition("=") for line in lines)
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


def main() -> None:
    """Print the plan, or the names of a group."""
    parser = ArgumentParser(prog="python -m tests.plan", description=__doc__)
    parser.add_argument("group", nargs="?", default="")
    parser.add_argument("--names", action="store_true")
    said, tox = parser.parse_args(), read()
    text = ",".join(environments(tox, said.group)) if said.names else plan(tox, said.group)
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
