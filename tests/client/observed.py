"""Shows each fault to each client in Chromium, and writes down what was seen as a table.

``python -m tests.client.observed`` prints the table of docs/clients-compared.md.
"""

import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sse_middleware.cli.typescript import javascript_of
from tests.chromium import chromium
from tests.client.compared import ROWS, WINDOW, Row, Seen
from tests.client.fault_server import FaultServer, fault_server
from tests.npm import install

PACKAGES = (
    "@hey-api/openapi-ts@0.99.0",
    "@microsoft/fetch-event-source@2.0.1",
    "event-source-plus@0.1.15",
    "eventsource@5.1.5",
    "eventsource-client@1.2.0",
    "extended-eventsource@2.1.0",
)
BUNDLER = "esbuild@0.28.2"

CLIENTS = (
    "stream",
    "EventSource",
    "eventsource",
    "fetch-event-source",
    "hey-api",
    "eventsource-client",
    "event-source-plus",
    "extended-eventsource",
)

HEY_API = "@hey-api/openapi-ts/dist/clients/core/serverSentEvents.ts"
"""hey-api writes this file into each client that it generates."""

ALL = tuple(row.right for row in ROWS)

AT_ONCE = 5
"""Faults that one page meets at the same time: Chromium opens six connections to a server."""

LOOK = 0.02
"""Seconds between two looks."""

PAGE = """async () => {
  const { clients } = await import("/others.js")
  const told = []
  Object.assign(window, {
    take: () => told.splice(0),
    begin(client, number, url, method, leaves) {
      let leave
      const got = ({ event, data, id }) => {
        told.push([number, { event, data: String(data), id }])
        if (leaves) leave?.()
        return leaves
      }
      leave = clients[client](url, method, got)
      return leave !== null
    },
  })
}"""


def bundle(packages: Path, client: Path) -> dict[str, tuple[str, bytes]]:
    """Return the files that a page with all clients needs."""
    with TemporaryDirectory() as folder:
        made = Path(folder) / "others.js"
        options = ["--bundle", "--format=esm", "--log-level=error", f"--outfile={made}"]
        aliases = [f"--alias:hey-api={packages / HEY_API}", "--external:/client.js"]
        source = Path(__file__).with_name("others.mjs")
        command = [str(packages / ".bin" / "esbuild"), str(source), *options, *aliases]
        subprocess.run(command, check=True, env={"NODE_PATH": str(packages)}, timeout=60)
        others = made.read_bytes()
    kind = "text/javascript"
    return {"/others.js": (kind, others), "/client.js": (kind, client.read_bytes())}


class Watched:
    """A page that runs one client."""

    def __init__(self, browser: Any, server: FaultServer, client: str) -> None:
        self.client = client
        self._server = server
        self._page = browser.new_context().new_page()

    def open(self) -> None:
        """Open the page, also again. Whatever it did has ended then."""
        self._page.goto(f"{self._server.url}/page")
        self._page.evaluate(PAGE)

    def begin(self, rows: Mapping[int, Row]) -> dict[int, Seen]:
        """Have the client meet faults."""
        found = {number: Seen(self._server.show(*row.answers)) for number, row in rows.items()}
        for number, row in rows.items():
            seen = found[number]
            url = f"{self._server.url}{seen.shown.path}"
            arguments = [self.client, number, url, row.method, row.leaves]
            seen.refused = not self._page.evaluate("all => begin(...all)", arguments)
        return found

    def close(self) -> None:
        """Close the page."""
        self._page.context.close()

    def look(self, found: Mapping[int, Seen]) -> None:
        """Take what has happened since the last look."""
        for number, event in self._page.evaluate("take()"):
            found[number].events.append(event)


def observe(
    browser: Any, server: FaultServer, wanted: Container[str] = ALL
) -> dict[str, list[str]]:
    """Return the cells of the rows that are wanted: by row, one cell for each client."""
    pages = [Watched(browser, server, client) for client in CLIENTS]
    cells: dict[str, list[str]] = {}
    numbered = [(number, row) for number, row in enumerate(ROWS) if row.right in wanted]
    for start in range(0, len(numbered), AT_ONCE):
        rows = numbered[start : start + AT_ONCE]
        for page in pages:
            page.open()
        found = {
            (page, number): seen
            for page in range(len(pages))
            for number, seen in pages[page].begin(dict(rows)).items()
        }
        said = _watch(pages, found)
        for number, row in rows:
            cells[row.right] = [said[page, number] for page in range(len(pages))]
    for page in pages:
        page.close()
    return cells


def _watch(pages: list[Watched], found: dict[tuple[int, int], Seen]) -> dict[tuple[int, int], str]:
    """Look until each observation has its answer, or its time is over. Return the answers."""
    said: dict[tuple[int, int], str] = {}
    went_on: set[tuple[int, int]] = set()
    end = time.monotonic() + WINDOW
    while len(said) < len(found):
        for number, page in enumerate(pages):
            page.look({row: seen for (at, row), seen in found.items() if at == number})
        is_over = time.monotonic() > end
        for at, seen in found.items():
            row = ROWS[at[1]]
            if row.reads and len(seen.events) >= row.reads and at not in went_on:
                went_on.add(at)
                seen.shown.go_on()
            if at not in said and (is_over or seen.refused or row.known(seen)):
                said[at] = row.cell(seen)
        time.sleep(LOOK)  # nothing tells that a client does nothing
    return said


def table(cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield the lines of the table."""
    names = [f"`{name}`" for name in CLIENTS]
    yield f"| | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    for right, line in cells.items():
        yield f"| {right} | {' | '.join(line)} |"


def main() -> None:
    """Print the table."""
    with TemporaryDirectory() as folder, fault_server() as server, chromium() as browser:
        client = Path(folder) / "client.mjs"
        client.write_text(javascript_of({}), "utf-8")
        server.files |= bundle(install(None, *PACKAGES, BUNDLER), client)
        sys.stdout.writelines(f"{line}\n" for line in table(observe(browser, server)))


if __name__ == "__main__":
    main()
