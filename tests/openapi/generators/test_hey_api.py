"""hey-api: what it makes is compiled, and reads the streams of the server."""

import pytest

from tests.openapi.generators.project import Project, blocks, files

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TYPES = """
import { jobJobGet, pricesPricesSymbolGet } from "./client/sdk.gen";
import type { Finished, PriceChanged, Progress, Sold } from "./client/types.gen";

for await (const item of (await pricesPricesSymbolGet({ path: { symbol: "A" } })).stream) {
  const known: PriceChanged | Sold = item;
  // @ts-expect-error - it may be the other
  const price: PriceChanged = item;
  // @ts-expect-error - there is no such field
  item.percent;
  if ("price" in item) item.price.toFixed(2);
  // @ts-expect-error - a number
  if ("price" in item) item.price.toUpperCase();
}
// @ts-expect-error - a parameter is missing
await pricesPricesSymbolGet({ path: {} });
for await (const item of (await jobJobGet({ query: { fail: true } })).stream) {
  const known: Progress | Finished = item;
  if (item.type === "progress") item.percent.toFixed();
  // @ts-expect-error - of the other
  if (item.type === "failed") item.percent.toFixed();
}
"""

# The second stream takes time, in which the first could be closed.
LEAVES = """
import { client } from "./client/client.gen";
import { pricesPricesSymbolGet } from "./client/sdk.gen";

client.setConfig({ baseUrl: "http://127.0.0.1:8000" });
const open = async () => (await (await fetch("http://127.0.0.1:8000/streams")).json()).open;
const leave = new AbortController();
const prices = { path: { symbol: "ACME" }, signal: leave.signal };
for await (const item of (await pricesPricesSymbolGet(prices)).stream) break;
for await (const item of (await pricesPricesSymbolGet(prices)).stream) if ("shares" in item) break;
console.log(await open());
leave.abort();
while (await open());
"""

BREAKS = """
import { client } from "./client/client.gen";

client.setConfig({ baseUrl: "http://127.0.0.1:8000" });
const options = { sseDefaultRetryDelay: 1, onSseError: () => console.log("broken") };
const { stream } = await client.sse.get({ url: "/breaking", ...options });
for await (const item of stream) console.log(item);
"""

IS_REFUSED = """
import { client } from "./client/client.gen";

client.setConfig({ baseUrl: "http://127.0.0.1:8000" });
const enough = new AbortController();
let attempts = 0;
const { stream } = await client.sse.get({
  url: "/missing",
  signal: enough.signal,
  onSseError: (error) => console.log(String(error)),
  sseSleepFn: async () => { if (++attempts === 10) enough.abort(); },
});
for await (const item of stream) console.log(item);
"""


@pytest.fixture(scope="module")
def client(typed: Project) -> Project:
    done = typed.generate("@hey-api/openapi-ts")
    assert done.returncode == 0, done.stdout
    return typed


def test_the_items_have_types(client: Project) -> None:
    client.check_types(program=files()["hey-api.ts"], types=TYPES)


def test_the_program_of_the_page(client: Project, server: str) -> None:
    client.write("hey-api.ts", files()["hey-api.ts"], server)
    assert client.run("hey-api.ts") == blocks("text")[0].splitlines()


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        (LEAVES, ["2"]),
        (BREAKS, ["after ", "broken", "after 1"]),
        (IS_REFUSED, ["Error: SSE failed: 404 Not Found"] * 10),
    ],
    ids=["a break leaves it open", "it resumes what broke", "it retries a 404"],
)
def test_what_it_does_not_do(
    client: Project, server: str, program: str, printed: list[str]
) -> None:
    client.write("program.ts", program, server)
    assert client.run("program.ts") == printed
