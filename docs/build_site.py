"""Builds the documentation site, and prints where it is: ``python docs/build_site.py``.

The pages are the files of ``docs``, the benchmarks' and the changelog. Zensical wants them in one
folder, so they are gathered there first.

Rules of this file:
- A link in a page is written for the repository. Where it leads to another page, it is rewritten. A
  program of ``examples`` that is linked becomes a page. A link to anything else is an error.
- Whatever Zensical, mkdocstrings or griffe say besides their progress is an error.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s#]+)")
CODE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
IMAGES = {".svg", ".png"}
LANGUAGES = {".py": "python", ".html": "html", ".ts": "typescript"}
QUIET = re.compile(r"^(Build started|Build finished in .*|No issues found|\s*)$")
"""The lines in which a build says that all is well."""


class SiteError(Exception):
    """The site can't be built. The message has what is wrong, one line for each."""


class Gathered:
    """The pages of a site in one folder, from several of the repository."""

    def __init__(self, root: Path, target: Path) -> None:
        self.root = root
        self.target = target
        self.wrong: list[str] = []
        self.places = {
            root / "benchmarks" / "README.md": target / "benchmarks.md",
            root / "CHANGELOG.md": target / "changelog.md",
        }

    def gather(self) -> None:
        """Copy everything. Raises a `SiteError` that names the links which lead nowhere."""
        docs = self.root / "docs"
        for path in sorted(docs.rglob("*")):
            if path.is_file() and not {".cache", "__pycache__"} & {*path.parts}:
                self._place(path, self.target / path.relative_to(docs))
        for source in [*self.places]:
            if source.suffix == ".md":
                self._write(source, self.places[source])
        if self.wrong:
            raise SiteError("\n".join(self.wrong))

    def _place(self, path: Path, place: Path) -> None:
        if path.suffix == ".md":
            self.places[path] = place
        elif path.suffix in {*IMAGES, ".js", ".css"}:
            _copy(path, place)

    def _write(self, source: Path, place: Path) -> None:
        def moved(link: re.Match[str]) -> str:
            linked = Path(os.path.normpath(source.parent / link[1]))
            there = self._place_of(linked)
            if there is None:
                self.wrong.append(f"{source.relative_to(self.root)} links to {link[1]}")
                return link[1]
            return os.path.relpath(there, place.parent)

        text = "".join(
            part if part.startswith("```") else LINK.sub(moved, part)
            for part in CODE.split(source.read_text("utf-8"))
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8")

    def _place_of(self, linked: Path) -> Path | None:
        """Return where a linked file is in the site. It is brought there if it is no page yet."""
        if linked in self.places:
            return self.places[linked]
        if not linked.is_file() or not linked.is_relative_to(self.root):
            return None
        name = linked.relative_to(self.root)
        if linked.suffix in IMAGES:
            inside = linked.is_relative_to(self.root / "docs")
            place = self.target / (linked.relative_to(self.root / "docs") if inside else name)
            _copy(linked, place)
        elif name.parts[0] == "examples" and linked.suffix in LANGUAGES:
            place = self.target / name.with_suffix(f"{linked.suffix}.md")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_program(name, linked.read_text("utf-8")), "utf-8")
        else:
            return None
        self.places[linked] = place
        return place


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)


def _program(name: Path, code: str) -> str:
    """Return the page of a program: its code."""
    return f"# {name}\n\n````{LANGUAGES[name.suffix]}\n{code}````\n"


def build(root: Path, work: Path) -> Path:
    """Build the site of a repository in the folder `work`. Returns the folder of its pages.

    Raises:
        SiteError: something is wrong with a page, a link, or a docstring.
    """
    shutil.rmtree(work, ignore_errors=True)
    Gathered(root, work / "pages").gather()
    config = (root / "docs" / "zensical.toml").read_text("utf-8")
    (work / "zensical.toml").write_text(config.replace("{root}", str(root)), "utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    quiet = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(
        command,
        cwd=work,
        check=False,
        env=quiet,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = [line for line in done.stdout.splitlines() if not QUIET.match(line)]
    if done.returncode or said:
        raise SiteError("\n".join(said))
    return work / "html"


def main() -> int:
    """Build the site, and say where it is. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python docs/build_site.py", description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "site")
    try:
        html = build(ROOT, parser.parse_args().output.resolve())
    except SiteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{html / 'index.html'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
