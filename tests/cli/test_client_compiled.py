"""The written client under the compiler: its types, its JavaScript, and its size."""

import gzip
import subprocess
from pathlib import Path

import pytest

import sse_middleware
from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import declarations_of, javascript_of, typescript_of
from tests.cli.shop import app
from tests.cli.typescript import Compile, compiler
from tests.npm import install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

CODE = Path(sse_middleware.__file__).parent / "cli" / "client"

ESBUILD = "esbuild@0.25.5"

LARGEST = 3 * 1024
"""Bytes of the code, minified and gzipped."""

RIGHT = """
import { stream, StreamError, type StreamEvent, type Streams } from "./streams";

export async function all(signal: AbortSignal): Promise<void> {
  const query = { since: "1", kinds: ["a", "b"] };
  for await (const e of stream("/orders/{number}", { params: { number: 1 }, query, signal })) {
    const price: number = e.data.price;
    const name: "executed" = e.event;
    const id: string = e.id;
    console.log(price, name, id, e.data.order.limit?.toFixed(2));
  }
  const order = { symbol: "ACME" };
  for await (const { data } of stream("POST /orders", { json: order, headers: { token: "1" } })) {
    console.log(data.order.shares.toFixed(0));
  }
  for await (const e of stream("POST /chat")) console.log(e.data.text);
  for await (const e of stream("POST /chat", { json: null })) console.log(e.data.text);
  for await (const e of stream("POST /photos", { body: new Blob() })) console.log(e.data.length);
  for await (const e of stream("/rooms/{room}", { params: { room: "a" } })) {
    if (e.event === "gap") console.log(e.data.topics.join(), e.data.reason === "lost");
    else console.log(e.data.text);
  }
  for await (const e of stream("/inner/{tenant}/numbers", { params: { tenant: 1 } })) {
    console.log(e.data.toFixed());
  }
  for await (const e of stream("/plain/", { query: { a: 1, b: undefined } })) console.log(e.data);
  const init = { params: { a: "1", b: 2 }, json: { any: "thing" }, lastEventId: undefined };
  for await (const e of stream("PUT /plain/{a}/{b}", init)) console.log(e.data);
  const url = new URL("https://example.org/orders/1");
  const events = stream<Streams["/orders/{number}"]>(url, { maxRetries: 3, idleTimeout: 0 });
  const { value } = await events.next();
  console.log(value?.data.price);
  await events.return();
}

export const isExpected = (error: unknown): boolean =>
  error instanceof StreamError && error.response?.status === 404 && error.cause === undefined;

export function open(): void {
  stream("/plain/", {
    baseUrl: "https://example.org", fetch, reconnect: "on-error", retryDelay: 1, maxRetryDelay: 2,
    credentials: "include", end: ({ event, raw }) => event === "done" && raw === "",
    onopen: (response) => console.log(response.headers),
    onwait: ({ error, delay, attempt }) => console.log(error, delay, attempt),
  });
}

export type Event = StreamEvent<{ a: number; b: string }>;
export const event: Event = { event: "a", data: 1, id: "" };
"""

WRONG = """
import { stream, type StreamEvent } from "./streams";

// @ts-expect-error - there is no such stream
stream("/orders");
// @ts-expect-error - it is for POST only
stream("/chat");
// @ts-expect-error - the path has a parameter
stream("/rooms/{room}");
// @ts-expect-error - of this name
stream("/rooms/{room}", { params: { name: "a" } });
// @ts-expect-error - a number
stream("/orders/{number}", { params: { number: "1" }, query: { since: "1" } });
// @ts-expect-error - a parameter of the query is required
stream("/orders/{number}", { params: { number: 1 } });
// @ts-expect-error - there is no such parameter
stream("/inner/{tenant}/numbers", { params: { tenant: 1 }, query: { limits: 1 } });
// @ts-expect-error - the body is required
stream("POST /orders");
// @ts-expect-error - a field of it, too
stream("POST /orders", { json: { shares: 1 } });
// @ts-expect-error - this one has no body
stream("/rooms/{room}", { params: { room: "a" }, json: 1 });
// @ts-expect-error - the path says the method
stream("/plain/", { method: "POST" });
// @ts-expect-error - there is no such option
stream("/plain/", { retries: 1 });
// @ts-expect-error - one of three words
stream("/plain/", { reconnect: "sometimes" });
export async function read(): Promise<void> {
  for await (const e of stream("/rooms/{room}", { params: { room: "a" } })) {
    // @ts-expect-error - a gap has no text
    console.log(e.data.text);
    // @ts-expect-error - there is no such event
    if (e.event === "said") console.log(e.id);
  }
}
// @ts-expect-error - the data of another event
export const event: StreamEvent<{ a: number; b: string }> = { event: "a", data: "1", id: "" };
"""


@pytest.fixture(scope="module")
def tsc(pytestconfig: pytest.Config) -> Compile:
    return compiler(pytestconfig)


@pytest.fixture
def streams(tmp_path: Path) -> Path:
    path = tmp_path / "streams.ts"
    path.write_text(typescript_of(streams_of_application(app)), "utf-8")
    return path


@pytest.mark.parametrize("form", ["ts", "js"])
def test_requests_and_events_are_typed(tsc: Compile, streams: Path, form: str) -> None:
    if form == "js":
        streams.unlink()
        described = streams_of_application(app)
        streams.with_suffix(".js").write_text(javascript_of(described), "utf-8")
        streams.with_suffix(".d.ts").write_text(declarations_of(described), "utf-8")
    right, wrong = streams.with_name("right.ts"), streams.with_name("wrong.ts")
    right.write_text(RIGHT, "utf-8")
    wrong.write_text(WRONG, "utf-8")
    done = tsc(right, wrong, options=("--noEmit",))
    assert done.returncode == 0, done.stdout  # an expected error that is none is an error


@pytest.mark.parametrize("lib", ["es2022,dom", "es2022,webworker"])
def test_the_client_compiles_for_pages_and_workers(tsc: Compile, streams: Path, lib: str) -> None:
    done = tsc(streams, options=("--noEmit", "--lib", lib, "--target", "es2018"))
    assert done.returncode == 0, done.stdout


def test_the_javascript_is_what_the_compiler_makes(tsc: Compile, streams: Path) -> None:
    done = tsc(streams, options=("--declaration",))
    assert done.returncode == 0, done.stdout
    described = streams_of_application(app)
    assert squeezed(streams.with_suffix(".js").read_text("utf-8")) == squeezed(
        javascript_of(described)
    )
    assert squeezed(streams.with_suffix(".d.ts").read_text("utf-8")) == squeezed(
        declarations_of(described)
    )


def squeezed(text: str) -> str:
    """Without what the compiler changes: the first two lines, white space, commas at the end."""
    head = ("// Written by", "/* eslint-disable */")
    lines = [line for line in text.splitlines() if not line.startswith(head)]
    return "".join("".join(lines).split()).replace(",}", "}")


def test_the_code_is_compiled_anew_after_each_change(tsc: Compile, tmp_path: Path) -> None:
    """If it fails, copy what it compiles into `sse_middleware/cli/client`."""
    sources = [tmp_path / name for name in ("stream.ts", "subscribe.ts", "module.d.ts")]
    for path in sources:
        path.write_text((CODE / path.name).read_text("utf-8"), "utf-8")
    done = tsc(*sources, options=("--declaration",))
    assert done.returncode == 0, done.stdout
    for part in ("stream", "subscribe"):
        for name in (f"{part}.js", f"{part}.d.ts"):
            made = (tmp_path / name).read_text("utf-8")
            assert made == (CODE / name).read_text("utf-8"), f"copy {tmp_path / name}"


def test_the_code_is_small(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    esbuild = install(pytestconfig, ESBUILD) / ".bin" / "esbuild"
    path = tmp_path / "client.js"
    path.write_text(javascript_of({}), "utf-8")
    command = [str(esbuild), "--minify", "--format=esm", "--target=es2022", str(path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert len(gzip.compress(done.stdout, 9)) <= LARGEST
