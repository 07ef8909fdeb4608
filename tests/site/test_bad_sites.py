"""Each mistake in a page is found: by the build, or by a check of what was built."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.site import checks
from tests.site.conftest import ROOT

pytestmark = pytest.mark.e2e

MODULE = '"""A module."""\n\n\ndef double(number: int) -> int:\n    """Double it.\n\n{}    """\n'


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a repository with one page, and the settings of this one."""
    docs = tmp_path / "docs"
    for folder in ("assets", "theme"):
        (docs / folder).mkdir(parents=True)
    (tmp_path / "benchmarks").mkdir()
    for name in ("benchmarks/README.md", "CHANGELOG.md"):
        (tmp_path / name).write_text("# Here\n", "utf-8")
    for name in ("griffe_docstrings.py", "assets/site.css", "assets/iframe-worker.js"):
        shutil.copyfile(ROOT / "docs" / name, docs / name)
    before, _, rest = (ROOT / "docs" / "zensical.toml").read_text("utf-8").partition("nav = [")
    after = rest.partition("\n]\n")[2]
    nav = 'nav = ["index.md", "benchmarks.md", "changelog.md"]\n'
    (docs / "zensical.toml").write_text(before + nav + after, "utf-8")
    (docs / "index.md").write_text("# Home\n", "utf-8")
    return tmp_path


Build = Callable[[], Path]


@pytest.fixture
def build(builder: ModuleType, small: Path) -> Build:
    return lambda: builder.build(small, small / "build")


def write_home(small: Path, line: str) -> None:
    """Put a line on the first page."""
    (small / "docs" / "index.md").write_text(f"# Home\n\n{line}\n", "utf-8")


def test_a_good_site_passes(build: Build, small: Path) -> None:
    html = build()
    assert checks.broken(html) == []
    assert checks.loaded_from_outside(html) == []
    assert checks.unlisted(small / "docs" / "zensical.toml", html) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("[away](missing.md)", "docs/index.md links to missing.md"),
        ("![a picture](missing.png)", "docs/index.md links to missing.png"),
        ("[a folder](../benchmarks)", "docs/index.md links to ../benchmarks"),
        ("[outside](../../secret.md)", "docs/index.md links to ../../secret.md"),
        ("[an anchor](#missing)", "anchor"),
        ("[an anchor](changelog.md#missing)", "links to changelog.md"),
        ("::: nowhere.at_all", "nowhere"),
    ],
)
def test_the_build_refuses(
    builder: ModuleType, build: Build, small: Path, line: str, named: str
) -> None:
    write_home(small, line)
    with pytest.raises(builder.SiteError, match=named):
        build()


@pytest.mark.parametrize(
    "section",
    [
        "    Args:\n        missing: a parameter that there isn't.\n",
        "    Args:\n        number is not followed by a colon\n",
    ],
)
def test_what_griffe_warns_of_is_an_error(
    builder: ModuleType, build: Build, small: Path, section: str
) -> None:
    (small / "docs" / "index.md").write_text("# Home\n\n::: module.double\n", "utf-8")
    (small / "module.py").write_text(MODULE.format(""), "utf-8")
    build()
    (small / "module.py").write_text(MODULE.format(section), "utf-8")
    with pytest.raises(builder.SiteError, match=r"module\.py"):
        build()


@pytest.mark.parametrize(
    "line",
    [
        '<a href="missing.html">away</a>',
        '<a href="changelog.html#missing">an anchor</a>',
        '<img src="missing.png">',
        '<img srcset="assets/site.css 1x, missing.png 2x">',
    ],
)
def test_raw_links_are_checked(build: Build, small: Path, line: str) -> None:
    write_home(small, line)
    [wrong] = checks.broken(build())
    assert wrong.startswith("index.html: ")
    assert "missing" in wrong


@pytest.mark.parametrize(
    "line",
    [
        '<img src="https://example.org/a.png">',
        '<script src="//example.org/a.js"></script>',
        '<iframe src="http://example.org/"></iframe>',
        '<p style="background: url(https://example.org/a.png)">a</p>',
        '<link rel="stylesheet" href="https://example.org/a.css">',
    ],
)
def test_what_is_loaded_from_outside_is_found(build: Build, small: Path, line: str) -> None:
    write_home(small, line)
    [wrong] = checks.loaded_from_outside(build())
    assert wrong.startswith("index.html: ")


def test_a_diagram_that_needs_a_script_is_found(build: Build, small: Path) -> None:
    text = '# Home\n\n<pre class="mermaid">flowchart TD</pre>\n'
    (small / "docs" / "index.md").write_text(text, "utf-8")
    assert checks.drawn_by_script(build()) == ["index.html: Mermaid"]


def test_style_sheets_are_read(build: Build, small: Path) -> None:
    css = small / "docs" / "assets" / "site.css"
    css.write_text('@import "https://example.org/a.css";', "utf-8")
    assert checks.loaded_from_outside(build()) == ["assets/site.css: https://example.org/a.css"]


def test_the_navigation_is_checked(build: Build, small: Path) -> None:
    (small / "docs" / "other.md").write_text("# Other\n", "utf-8")
    config = small / "docs" / "zensical.toml"
    changed = config.read_text("utf-8").replace('"changelog.md"', '"changelog.md", "missing.md"')
    config.write_text(changed, "utf-8")
    assert checks.unlisted(config, build()) == [
        "the navigation names missing, which is no page",
        "other is not in the navigation",
    ]
