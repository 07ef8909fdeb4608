"""What must hold for a built site, beyond what Zensical's strict mode finds.

Each function returns what is wrong, one text for each.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

LOADING = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "object": "data",
    "script": "src",
    "source": "src",
    "video": "src",
}
"""Elements that make a browser load something, and the attribute that says what."""

MERELY_NAMED = {"canonical", "next", "prev", "alternate"}
"""What a ``link`` may be without being loaded."""

FROM_CSS = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")


class Page(HTMLParser):
    """The addresses and the ids of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.ids = {""}
        self.mermaid = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element refers to."""
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        self.mermaid |= "mermaid" in values.get("class", "").split()
        if tag == "a" and "href" in values:
            self.linked.append(values["href"])
        if tag in LOADING and LOADING[tag] in values and values.get("rel") not in MERELY_NAMED:
            self.loaded.append(values[LOADING[tag]])
        self.loaded += [one.split()[0] for one in values.get("srcset", "").split(",") if one]
        self.loaded += _of_css(values.get("style", ""))


@cache
def page_at(path: Path) -> Page:
    """Return a parsed page. Built pages don't change."""
    return Page(path)


def _of_css(text: str) -> list[str]:
    return [first or second for first, second in FROM_CSS.findall(text)]


def pages(site: Path) -> list[Path]:
    """Return the pages of a site."""
    return sorted(site.rglob("*.html"))


def is_outside(address: str) -> bool:
    """Tell whether an address leads to another host."""
    return bool(urlsplit(address).netloc)


def loads(site: Path) -> Iterator[tuple[Path, str]]:
    """Yield what the pages and style sheets of a site load, with the file that says so."""
    for path in pages(site):
        yield from ((path, address) for address in page_at(path).loaded)
    for path in sorted(site.rglob("*.css")):
        yield from ((path, address) for address in _of_css(path.read_text("utf-8")))


def loaded_from_outside(site: Path) -> list[str]:
    """Find what a browser would load from another host."""
    return [f"{path.relative_to(site)}: {one}" for path, one in loads(site) if is_outside(one)]


def drawn_by_script(site: Path) -> list[str]:
    """Find diagrams for which Zensical loads a program from another host."""
    return [f"{path.relative_to(site)}: Mermaid" for path in pages(site) if page_at(path).mermaid]


def broken(site: Path) -> list[str]:
    """Find links, images, scripts and style sheets that don't exist, and anchors that don't."""
    wrong = []
    for path in pages(site):
        page = page_at(path)
        for address in [*page.linked, *page.loaded]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            if not _exists(site, path, unquote(parts.path), unquote(parts.fragment)):
                wrong.append(f"{path.relative_to(site)}: {address}")
    return wrong


def _exists(site: Path, page: Path, name: str, anchor: str) -> bool:
    if not name:
        there = page
    else:
        there = (site / name.lstrip("/")) if name.startswith("/") else (page.parent / name)
        there = there.resolve()
    if there.is_dir():
        there /= "index.html"
    if not there.is_file() or not there.is_relative_to(site.resolve()):
        return False
    return there.suffix != ".html" or anchor in page_at(there).ids


def navigation(config: Path) -> set[str]:
    """Return the pages that the navigation names."""
    return set(_named(tomllib.loads(config.read_text("utf-8"))["project"]["nav"]))


def _named(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for one in entry.values() if isinstance(entry, dict) else entry:
            yield from _named(one)


def unlisted(config: Path, site: Path) -> list[str]:
    """Find entries of the navigation without a page, and pages without an entry.

    The pages of example programs need none: other pages link to them.
    """
    listed = {name.removesuffix(".md") for name in navigation(config)}
    built = {path.relative_to(site).with_suffix("").as_posix() for path in pages(site)}
    needed = {name for name in built if name != "404" and not name.startswith("examples/")}
    return [
        *(f"the navigation names {name}, which is no page" for name in sorted(listed - built)),
        *(f"{name} is not in the navigation" for name in sorted(needed - listed)),
    ]
