"""The TypeScript, compiled as strictly as possible, and run in a browser."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.typed import app
from sse_middleware.cli.client_stream import ClientStream
from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import typescript_of
from sse_middleware.items.item_type import ItemType
from tests.chromium import chromium
from tests.cli.test_typescript import Everything
from tests.cli.typescript import Compile, compiler
from tests.examples.test_app import read, serving
from tests.patience import PATIENCE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

DOCS = Path(__file__).parents[2] / "docs" / "typed-events.md"

CLIENT = """
import { stream, subscribe, type Streams } from "./streams";

export async function read(found: (line: string) => void): Promise<void> {
  const { origin } = location; // this module has a URL without one
  for await (const e of stream("/job", { query: { fail: true }, baseUrl: origin })) {
    found(`${e.event} ${e.id} ${e.event === "progress" ? e.data.percent : e.data.type}`);
    if (e.event === "failed") break;
  }
}

export function watch(found: (line: string) => void): void {
  const source = subscribe<Streams["/prices/{symbol}"]>("/prices/ACME", {
    price: (data, event) => {
      const price: number = data.price;
      found(`${event.type} ${data.symbol} ${price.toFixed(2)}`);
    },
    sold: ({ shares }) => {
      found(`sold ${shares}`);
      source.close();
    },
  });
}

export function follow(found: (line: string) => void): void {
  const source = subscribe<Streams["/job"]>("/job?fail=true", {});
  source.addEventListener("progress", ({ percent }, event) => {
    found(`${event.lastEventId} ${percent}`);
  });
  const stop = source.addEventListener("failed", ({ type }) => {
    const known: "finished" | "failed" = type;
    found(known);
    stop();
    source.close();
  });
}
"""

WRONG = """
import { subscribe, type Streams } from "./streams";

type Prices = Streams["/prices/{symbol}"];
// @ts-expect-error - there is no such stream
type Missing = Streams["/nothing"];
// @ts-expect-error - there is no such event
subscribe<Prices>("/prices/ACME", { prices: () => {} });
// @ts-expect-error - the data has no such field
subscribe<Prices>("/prices/ACME", { price: (data) => data.shares });
// @ts-expect-error - a field of another type
subscribe<Prices>("/prices/ACME", { price: (data) => data.price.toUpperCase() });
// @ts-expect-error - the data of another event
subscribe<Prices>("/prices/ACME", { sold: (data: Prices["price"]) => data.price });
const source = subscribe<Prices>("/prices/ACME", { price: ({ price }) => price.toFixed(2) });
// @ts-expect-error - there is no such event
source.addEventListener("open", () => {});
// @ts-expect-error - the data is not a string
source.addEventListener("sold", (data) => data.length);
// @ts-expect-error - a literal that it never is
source.addEventListener("sold", (data) => (data as Streams["/job"]["failed"]).type === "progress");
export type { Missing };
"""


@pytest.fixture(scope="module")
def tsc(pytestconfig: pytest.Config) -> Compile:
    return compiler(pytestconfig)


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    yield from serving("examples.typed")


def write_streams(folder: Path) -> None:
    streams = streams_of_application(app)
    (folder / "streams.ts").write_text(typescript_of(streams), "utf-8")


def test_the_example_has_prices(example: str) -> None:
    with httpx.stream("GET", f"{example}/prices/ACME", timeout=PATIENCE) as response:
        events = read(response, 4)
    assert [event.type for event in events] == ["price", "price", "price", "sold"]
    assert events[-1].data == '{"symbol":"ACME","shares":3}'


def test_the_example_has_a_job(example: str) -> None:
    with httpx.stream("GET", f"{example}/job", timeout=PATIENCE) as response:
        events = read(response, 3)
    assert [(event.type, event.last_event_id) for event in events] == [
        ("progress", "0"),
        ("progress", "50"),
        ("finished", "50"),
    ]


def test_a_client_compiles_and_reads_the_stream_in_a_browser(
    tsc: Compile, example: str, tmp_path: Path
) -> None:
    write_streams(tmp_path)
    (tmp_path / "client.ts").write_text(CLIENT, "utf-8")
    done = tsc(tmp_path / "client.ts")
    assert done.returncode == 0, done.stdout
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{example}/openapi.json")
        lines = run(page, tmp_path, "watch", 4) + run(page, tmp_path, "follow", 3)
        read = run(page, tmp_path, "read", 3)
    prices = [f"price ACME {price}" for price in ("10.00", "10.50", "11.25")]
    assert lines == [*prices, "sold 3", "0 0", "50 50", "failed"]
    assert read == ["progress 0 0", "progress 50 50", "failed 50 failed"]


def run(page: Any, folder: Path, function: str, count: int) -> list[str]:
    """Return the first lines that a function of the client finds."""
    streams, client = ((folder / name).read_text("utf-8") for name in ("streams.js", "client.js"))
    code = client.replace('"./streams"', f'"{as_url(streams)}"')
    script = """([code, name, count]) => new Promise(async (resolve) => {
      const lines = []
      const client = await import(code)
      client[name]((line) => { if (lines.push(line) === count) resolve(lines) })
    })"""
    lines: list[str] = page.evaluate(script, [as_url(code), function, count])
    return lines


def as_url(code: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(code.encode()).decode()}"


def test_the_clients_of_the_docs_compile(tsc: Compile, tmp_path: Path) -> None:
    write_streams(tmp_path)
    clients = re.findall(r"```typescript\n(import.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    paths = [tmp_path / f"client{number}.ts" for number in range(len(clients))]
    for path, client in zip(paths, clients, strict=True):
        path.write_text(client, "utf-8")
    done = tsc(*paths)
    assert done.returncode == 0, done.stdout
    assert len(clients) == 2


def test_mistakes_do_not_compile(tsc: Compile, tmp_path: Path) -> None:
    write_streams(tmp_path)
    (tmp_path / "wrong.ts").write_text(WRONG, "utf-8")
    done = tsc(tmp_path / "wrong.ts")
    assert done.returncode == 0, done.stdout  # an expected error that is none is an error


def test_each_kind_of_type_compiles(tsc: Compile, tmp_path: Path) -> None:
    text = typescript_of(
        {"/everything": ClientStream(ItemType(Everything)), "/anything": ClientStream()}
    )
    (tmp_path / "everything.ts").write_text(text, "utf-8")
    done = tsc(tmp_path / "everything.ts")
    assert done.returncode == 0, done.stdout
