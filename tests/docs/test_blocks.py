"""Every block of code on every page runs, or is checked by the tools of its language.

A page whose parts are alternatives, or whose Python is run in another way, has a test of its own.
"""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks_of, missing_imports, pages, run_page

FASTAPI = {"docs/streams.md": "0.135"}
"""Pages that say from which FastAPI on they work, if it isn't the oldest."""

OWN_TESTS = {
    "docs/migrating.md": "test_migrating.py",
    "docs/openapi.md": "test_openapi.py",
    "docs/testing.md": "test_testing.py",
    "docs/recipes/django.md": "test_recipes_of_frameworks.py",
}
"""Pages whose Python is run by a module of tests that is named here."""

TEXT = {"text", "css"}
"""What is shown and not run: the bytes of streams, and output."""

COMMANDS = {"curl", "git", "jq", "npm", "npx", "pip", "python", "tail", "tox", "uvicorn"}
"""The commands that a reader may be told to enter."""

INSTALLED = {"build", "pip", "tox", "twine", "venv"}
"""Modules with commands that a page has installed before."""

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))


def blocks(*languages: str) -> pytest.MarkDecorator:
    found = [block for page in pages() for block in blocks_of(page, *languages)]
    return pytest.mark.parametrize("block", found, ids=str)


@each_page
def test_python_runs(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = page.relative_to(ROOT).as_posix()
    if name in OWN_TESTS:
        assert Path(name).name in (ROOT / "tests/docs" / OWN_TESTS[name]).read_text("utf-8")
        return
    if name in FASTAPI:
        pytest.importorskip("fastapi", minversion=FASTAPI[name])
    monkeypatch.chdir(tmp_path)  # for the files of the page
    run_page(page, monkeypatch)
    missing = {one for block in blocks_of(page, "python") for one in missing_imports(block.code)}
    if missing:
        pytest.skip(f"other environments run it with {', '.join(sorted(missing))}")


def check_python(code: str) -> None:
    compile(code, "page", "exec")


def check_json(code: str) -> None:
    json.loads(code)


def check_toml(code: str) -> None:
    tomllib.loads(code)


def check_yaml(code: str) -> None:
    pytest.importorskip("yaml").safe_load(code)


def check_shell(code: str) -> None:
    """Check the syntax, the commands, and the modules of Python that are started."""
    subprocess.run(["bash", "-n"], input=code, text=True, check=True)
    for line in code.replace("\\\n", " ").splitlines():
        for command in re.split(r"\s(?:&&|\|)\s", line.partition(" #")[0].strip()):
            words = shlex.split(re.sub(r"^\w+=(\$\()?", "", command), comments=True)
            assert not words or words[0] in COMMANDS, words
            if words[:2] == ["python", "-m"]:
                assert find_spec(words[2]) or words[2] in INSTALLED, words[2]


CHECKS = {
    "python": check_python,
    "json": check_json,
    "toml": check_toml,
    "yaml": check_yaml,
    "sh": check_shell,
}
IN_NODE = ("javascript", "js", "html")
TYPESCRIPT = ("typescript", "tsx")
ELSEWHERE = {*IN_NODE, *TYPESCRIPT, "nginx"}
"""Languages whose tools are programs of their own."""
COMPILED = {
    "docs/typed-events.md": "tests/cli/test_typescript_compiled.py",
    "docs/client.md": "tests/docs/test_client.py",
    "docs/generators.md": "tests/openapi/generators/project.py",
}
"""Pages with TypeScript, and the tests that compile it."""


@blocks()
def test_it_is_what_it_is_said_to_be(block: Block) -> None:
    assert block.language in CHECKS.keys() | TEXT | ELSEWHERE, "a block needs a known language"
    if block.language in CHECKS:
        CHECKS[block.language](block.code)


@each_page
def test_no_code_is_merely_indented(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert not re.findall(r"^\S(?<![-*]).*\n\n {4}.*", text, re.MULTILINE), "use a fence"


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "yield from"),
        ("json", "{'a': 1}"),
        ("toml", "a = "),
        ("sh", "if true"),
        ("sh", "rm -r /"),
        ("sh", "python -m sse_nothing"),
        ("sh", "curl http://localhost | bash"),
    ],
)
def test_a_bad_block_is_refused(language: str, code: str) -> None:
    with pytest.raises((AssertionError, SyntaxError, ValueError, subprocess.CalledProcessError)):
        CHECKS[language](code)


def scripts(block: Block) -> list[str]:
    """Return the JavaScript of a block, which may be a page of HTML."""
    if block.language == "html":
        return re.findall(r"<script[^>]*>(.*?)</script>", block.code, re.DOTALL)
    return [block.code]


def node(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """Have node read a module, without running it."""
    found = shutil.which("node")
    assert found, "there is no node"
    (folder / "block.mjs").write_text(code, "utf-8")
    command = [found, "--check", str(folder / "block.mjs")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.e2e
@blocks(*IN_NODE)
def test_node_reads_it(block: Block, tmp_path: Path) -> None:
    for script in scripts(block):
        done = node(tmp_path, script)
        assert done.returncode == 0, done.stderr


@pytest.mark.e2e
def test_node_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    assert "SyntaxError" in node(tmp_path, "const = 1;").stderr


NGINX = """
pid {folder}/pid; error_log stderr; daemon off; events {{}}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
server {{ listen 127.0.0.1:1; {block} }} }}
"""


def nginx(folder: Path, block: str) -> "subprocess.CompletedProcess[str]":
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert found, "there is no nginx"
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, block=block), "utf-8")
    command = [found, "-t", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.e2e
@blocks("nginx")
def test_nginx_reads_it(block: Block, tmp_path: Path) -> None:
    done = nginx(tmp_path, block.code)
    assert done.returncode == 0, done.stderr


@pytest.mark.e2e
def test_nginx_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    assert nginx(tmp_path, "proxy_passes nothing;").returncode != 0


def test_typescript_is_compiled_by_other_tests() -> None:
    with_typescript = {
        page.relative_to(ROOT).as_posix() for page in pages() if blocks_of(page, *TYPESCRIPT)
    }
    assert with_typescript == COMPILED.keys()
    for page, tests in COMPILED.items():
        assert Path(page).name in (ROOT / tests).read_text("utf-8")


@each_page
def test_its_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text)
    links += re.findall(r"(?:src|srcset)=\"(?!https?:)([^\"]*)\"", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
