"""The commands of the pages: each is known, and what it is given exists.

Rules of this file:
- bash reads a whole block. Then each command of a line is looked at by itself.
- What this project defines is looked up: commands, extras, groups, environments and applications.
- Programs that are none of this project have their arguments read by nothing here. `test_curl.py`
  runs curl. git and npm would change the machine, and jq and tail need the output of another one.
"""

import re
import shlex
import subprocess
import tomllib
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from importlib.util import find_spec

from sse_middleware.cli import typescript_command
from sse_middleware.cli.tail import command as tail_command
from tests.docs.pages import ROOT, Block, blocks_of

INSTALLED = {"build", "pip", "tox", "twine", "venv"}
"""Modules with commands that a page has installed before."""

Words = list[str]


def check_shell(block: Block) -> None:
    """Raise an error unless all commands of a block are right."""
    subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)
    for words in commands_of(block.code):
        assert words[0] in COMMANDS, words
        COMMANDS[words[0]](words[1:], block)


def commands_of(code: str) -> Iterator[Words]:
    """Yield the words of each command, without redirections."""
    for line in code.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s(?:&&|\|)\s", line.partition(" #")[0].strip()):
            without_name = re.sub(r"^\w+=(\$\()?", "", command)
            if words := shlex.split(re.sub(r"\s>>?\s\S+$", "", without_name), comments=True):
                yield words


def check_python(words: Words, block: Block) -> None:
    """Check ``python -m``: the module exists, and this project's own commands can be parsed."""
    option, module, *arguments = words
    assert option == "-m", words
    assert find_spec(module) or module in INSTALLED, module
    if module == "pip":
        check_pip(arguments, block)
    if module == "sse_middleware":
        parser = ArgumentParser(exit_on_error=False)
        commands = parser.add_subparsers(required=True)
        typescript_command.add_to(commands)
        tail_command.add_to(commands)
        parser.parse_args(arguments)


def check_pip(words: Words, _block: Block) -> None:
    """Check ``pip install``: there are such extras and groups."""
    assert words[0] == "install", words
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = re.findall(r"sse_middleware\[(\w+)\]", " ".join(words))
    assert {*extras} <= project["project"]["optional-dependencies"].keys(), words
    groups = re.findall(r"--group (\w+)", " ".join(words))
    assert {*groups} <= project["dependency-groups"].keys(), words


def check_tox(words: Words, _block: Block) -> None:
    """Check ``tox run -e``: there is such an environment."""
    assert words[:2] == ["run", "-e"], words
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    listed = re.findall(r"[\w]+", tox["tox"]["env_list"])
    assert words[2] in listed or f"testenv:{words[2]}" in tox or re.match(r"py3\d+$", words[2])
    for path in words[3:]:
        assert path.startswith("-") or (ROOT / path).exists(), path


def check_uvicorn(words: Words, block: Block) -> None:
    """Check ``uvicorn module:name``: the page has this file, in which there is this name."""
    module, _, name = words[0].partition(":")
    shown = [one for one in blocks_of(block.page, "python") if one.title == f"{module}.py"]
    assert any(re.search(rf"^{name} = ", one.code, re.MULTILINE) for one in shown), words


def check_npx(words: Words, _block: Block) -> None:
    """Check ``npx``: the version is pinned."""
    assert re.fullmatch(r"(@[\w-]+/)?[\w-]+@\d+\.\d+\.\d+", words[0]), words


def check_nothing(_words: Words, _block: Block) -> None:
    """Let the arguments of a command pass that is none of this project."""


COMMANDS: dict[str, Callable[[Words, Block], None]] = {
    "curl": check_nothing,
    "git": check_nothing,
    "jq": check_nothing,
    "npm": check_nothing,
    "npx": check_npx,
    "pip": check_pip,
    "python": check_python,
    "tail": check_nothing,
    "tox": check_tox,
    "uvicorn": check_uvicorn,
}
"""The commands that a reader may be told to enter, and what checks their arguments."""
