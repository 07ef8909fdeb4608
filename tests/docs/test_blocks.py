"""Every block of code on every page is run, type-checked, or read by the program that it is for.

- Python runs, and `tests/typing/test_pages.py` type-checks it.
- JavaScript and HTML run in a browser or in node, TypeScript is compiled.
- Commands, JSON, YAML and nginx's configuration are read by what reads them, and then compared with
  what this project has.
- Text is what a server or a command prints, and is compared with it.

Rules of this file:
- A block is checked here, if its language is in `CHECKS`, or by a test that has put it into
  `test_javascript.RUN`, or it is counted in `CHECKED_BY`, which names the tests that read its page.
- What can't be checked is in `SHOWN`, with the reason. A block that is nowhere fails a test.
- A page whose parts are alternatives, or whose Python is run in another way, has a test of its own.
"""

import json
import os
import re
import shutil
import subprocess
from argparse import ArgumentError
from collections import Counter
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest

from tests.docs.commands import check_shell
from tests.docs.pages import DOCS, FENCE, ROOT, Block, blocks_of, missing_imports, pages, run_page
from tests.docs.test_javascript import RUN
from tests.must_run import missing

YAML = import_module("yaml")  # it has no types

FASTAPI = {"docs/streams.md": "0.135"}
"""Pages that say from which FastAPI on they work, if it isn't the oldest."""

OWN_TESTS = {
    "docs/migrating.md": "test_migrating.py",
    "docs/openapi.md": "test_openapi.py",
    "docs/testing.md": "test_testing.py",
    "docs/recipes/django.md": "test_recipes_of_frameworks.py",
}
"""Pages whose Python is run by a module of tests that is named here."""

RUN_IN = {
    "anthropic": "presets",
    "flask": "frameworks",
    "litestar": "frameworks",
    "mcp": "frameworks",
    "openai": "presets",
    "prometheus_client": "site",
}
"""Packages of pages that not every environment of tox has, and one that has them."""

CHECKED_BY = [
    ("html", "docs/recipes/datastar.md", 1, "tests/presets/clients/test_datastar.py"),
    ("html", "docs/recipes/jobs.md", 1, "tests/docs/test_recipes_in_a_browser.py"),
    ("js", "docs/generators.md", 1, "tests/openapi/generators/project.py"),
    ("text", "README.md", 1, "tests/docs/test_readme.py"),
    ("text", "docs/generators.md", 2, "tests/openapi/generators/project.py"),
    ("text", "docs/hub.md", 1, "tests/docs/test_hub.py"),
    ("text", "docs/hub.md", 1, "tests/hub/redis/test_checks.py"),
    ("text", "docs/presets.md", 7, "tests/docs/test_presets.py"),
    ("text", "docs/recipes/datastar.md", 1, "tests/docs/test_recipes.py"),
    ("text", "docs/recipes/django.md", 1, "tests/docs/test_recipes_of_frameworks.py"),
    ("text", "docs/recipes/flask.md", 1, "tests/docs/test_recipes_of_frameworks.py"),
    ("text", "docs/recipes/htmx.md", 1, "tests/docs/test_recipes.py"),
    ("text", "docs/recipes/litestar.md", 1, "tests/docs/test_recipes_of_frameworks.py"),
    ("text", "docs/recipes/ndjson.md", 2, "tests/docs/test_recipes.py"),
    ("text", "docs/reference/command-line.md", 1, "tests/docs/test_reference.py"),
    ("text", "docs/tail.md", 1, "tests/cli/tail/test_session.py"),
    ("text", "docs/tail.md", 2, "tests/docs/test_tail.py"),
    ("text", "docs/tutorial.md", 3, "tests/docs/test_recipes.py"),
    ("text", "docs/typed-events.md", 2, "tests/docs/test_typed_events.py"),
    ("text", "docs/what-is-sse.md", 1, "tests/docs/test_javascript.py"),
    ("tsx", "docs/client.md", 1, "tests/docs/test_client.py"),
    ("typescript", "docs/client.md", 5, "tests/docs/test_client.py"),
    ("typescript", "docs/generators.md", 4, "tests/openapi/generators/project.py"),
    ("typescript", "docs/typed-events.md", 3, "tests/cli/test_typescript_compiled.py"),
]
"""Blocks that other tests check: language, page, how many, and the file that reads the page."""

SHOWN = [
    ("text", "docs/architecture.md", 1, "the path of an event: a drawing in words"),
    ("text", "docs/operations.md", 1, "a sum of settings"),
]
"""Blocks that nothing can check: language, page, how many, and why."""

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
    absent = {one for block in blocks_of(page, "python") for one in missing_imports(block.code)}
    elsewhere = {RUN_IN[one] for one in absent}
    assert os.environ.get("TOX_ENV_NAME") not in elsewhere, absent
    if absent:
        pytest.skip(f"other environments run it with {', '.join(sorted(absent))}")


@pytest.mark.parametrize("environment", sorted({*RUN_IN.values()}))
def test_other_environments_run_the_pages(environment: str) -> None:
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    assert Path(__file__).relative_to(ROOT).as_posix() in tox[f"testenv:{environment}"]["commands"]


def check_python(block: Block) -> None:
    compile(block.code, "page", "exec")


def check_json(block: Block) -> None:
    json.loads(block.code)


def check_yaml(block: Block) -> None:
    YAML.safe_load(block.code)


CHECKS = {"python": check_python, "json": check_json, "yaml": check_yaml, "sh": check_shell}
"""What checks a block of a language. nginx's configuration has a test of its own below."""


@blocks(*CHECKS)
def test_it_is_what_it_is_said_to_be(block: Block) -> None:
    CHECKS[block.language](block)


def test_no_block_is_without_a_check() -> None:
    found = Counter(
        (block.language, block.page.relative_to(ROOT).as_posix())
        for page in pages()
        for block in blocks_of(page)
        if block.language not in {*CHECKS, "nginx"} and str(block) not in RUN
    )
    counted: Counter[tuple[str, str]] = Counter()
    for language, name, count, _ in [*CHECKED_BY, *SHOWN]:
        counted[language, name] += count
    assert found - counted == {}, "a block without a check: see the rules of this file"
    assert counted - found == {}, "CHECKED_BY or SHOWN counts a block that is not there"


@pytest.mark.parametrize(("name", "tests"), sorted({(row[1], row[3]) for row in CHECKED_BY}))
def test_other_tests_read_the_page(name: str, tests: str) -> None:
    assert Path(name).stem in (ROOT / tests).read_text("utf-8")


@each_page
def test_each_fence_is_a_block(page: Path) -> None:
    """A block in a list, or one that never ends, would be seen by no test."""
    text = page.read_text("utf-8")
    assert not re.findall(r"^ *(?:```|~~~).*|<pre\b", FENCE.sub("", text), re.MULTILINE)


@each_page
def test_no_code_is_merely_indented(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    assert not re.findall(r"^\S(?<![-*]).*\n\n {4}.*", text, re.MULTILINE), "use a fence"


REFUSALS = (
    *(AssertionError, SyntaxError, ValueError, SystemExit, ArgumentError),
    *(subprocess.CalledProcessError, YAML.YAMLError),
)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("python", "yield from"),
        ("json", "{'a': 1}"),
        ("yaml", "- a\nb: ["),
        ("sh", "if true"),
        ("sh", "rm -r /"),
        ("sh", "curl http://localhost | bash"),
        ("sh", "python -m sse_nothing"),
        ("sh", "python -m sse_middleware tail --nothing localhost"),
        ("sh", "python -m sse_middleware typescript main:app --output a.ts b.ts"),
        ("sh", "pip install 'sse_middleware[nothing]'"),
        ("sh", "python -m pip install --group nothing"),
        ("sh", "tox run -e nothing"),
        ("sh", "uvicorn main:nothing"),
        ("sh", "npx orval"),
    ],
)
def test_a_bad_block_is_refused(language: str, code: str) -> None:
    bad = Block(DOCS / "tutorial.md", 1, language, "", code)
    with pytest.raises(REFUSALS):
        CHECKS[language](bad)


NGINX = """
pid {folder}/pid; error_log stderr; daemon off; events {{}}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
server {{ listen 127.0.0.1:1; {block} }} }}
"""


def nginx(folder: Path, block: str) -> "subprocess.CompletedProcess[str]":
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if found is None:
        missing("nginx")
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


@each_page
def test_its_links_lead_to_files(page: Path) -> None:
    text = FENCE.sub("", page.read_text("utf-8"))
    links = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", text)
    links += re.findall(r"(?:src|srcset)=\"(?!https?:)([^\"]*)\"", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
