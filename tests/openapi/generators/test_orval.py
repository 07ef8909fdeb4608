"""orval: with a function of the user it makes typed generators, by itself it reads to the end."""

import json

import pytest

from tests.openapi.generators.project import (
    CONFIG,
    FETCH,
    Project,
    blocks,
    files,
    generate_with_orval,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FILTERED = CONFIG.replace('"api.ts"', '"filtered.ts"').replace(
    '"openapi.json"', '{ target: "tagged.json", filters: { tags: ["streams"] } }'
)

TYPES = """
import { jobJobGet, pricesPricesSymbolGet } from "./api";
import type { Finished, PriceChanged, Progress } from "./api";

const prices = pricesPricesSymbolGet("ACME", { signal: new AbortController().signal });
// @ts-expect-error - it may be the other
const first: IteratorResult<PriceChanged> = await prices.next();
for await (const item of prices) {
  // @ts-expect-error - there is no such field
  item.percent;
  // @ts-expect-error - a number
  if ("price" in item) item.price.toUpperCase();
}
// @ts-expect-error - a parameter is missing
pricesPricesSymbolGet();
const job: AsyncGenerator<Progress | Finished> = jobJobGet();
"""

FETCHED = """
import { jobJobGet } from "./fetch";

const relative = globalThis.fetch;
globalThis.fetch = (url, init) => relative(`http://127.0.0.1:8000${url}`, init);
const answer = await jobJobGet();
if (answer.status === 200) {
  const type: "progress" | "finished" | "failed" | undefined = answer.data.type;
  console.log(type, typeof answer.data, String(answer.data).split("\\n\\n").length);
}
"""


@pytest.fixture(scope="module")
def client(typed: Project) -> Project:
    """Return a project with two clients: the one of the page, and orval's own."""
    for config in (CONFIG, FETCH):
        generate_with_orval(typed, config)
    return typed


def test_the_items_have_types(client: Project) -> None:
    client.check_types(program=files()["orval.ts"], types=TYPES, fetched=FETCHED)


def test_the_program_of_the_page(client: Project, server: str) -> None:
    client.write("stream.ts", files()["stream.ts"], server)
    client.write("orval.ts", files()["orval.ts"])
    assert client.run("orval.ts") == blocks("text")[1].splitlines()


def test_its_own_client_returns_the_text_of_the_whole_stream(client: Project, server: str) -> None:
    client.write("fetched.ts", FETCHED, server)
    assert client.run("fetched.ts") == ["undefined string 4"]


def test_streams_can_be_generated_by_themselves(typed: Project) -> None:
    document = json.loads((typed.folder / "openapi.json").read_text("utf-8"))
    document["paths"]["/job"]["get"]["tags"] = ["streams"]
    typed.write("tagged.json", json.dumps(document))
    generate_with_orval(typed, FILTERED)
    code = (typed.folder / "filtered.ts").read_text("utf-8")
    assert "jobJobGet" in code
    assert "pricesPricesSymbolGet" not in code
