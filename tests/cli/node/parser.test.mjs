// The parser of the written client: the table of tests/wire, in every way to cut it into chunks.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { answers, Body, events, impatient, read } from "./kit.mjs";

const { stream } = await import(process.env.CLIENT);
const cases = JSON.parse(await readFile(process.env.CASES, "utf-8"));

const LONGEST = 2 ** 31 - 1;

function* everyCut(wire) {
  const bytewise = wire.map((byte) => [byte]);
  yield [wire];
  yield bytewise;
  yield bytewise.flatMap((byte) => [[], byte]);
  for (let at = 0; at <= wire.length; at++) yield [wire.slice(0, at), wire.slice(at)];
}

/** Reads a stream and comes back once. The second request shows the last id. */
async function seen(chunks) {
  const found = [];
  const waits = [];
  const { fetch, requests } = answers(events(new Body(chunks.map((one) => Uint8Array.from(one)))));
  const end = ({ event, raw }) => void found.push([event, raw]);
  const ids = [];
  for await (const { id } of stream("/", { ...impatient(waits), fetch, end })) ids.push(id);
  assert.equal(requests.length, 2);
  const sent = Buffer.from(requests[1].headers.get("last-event-id") ?? "", "latin1").toString();
  return { events: found.map((one, index) => [...one, ids[index]]), sent, delay: waits[0].delay };
}

for (const { shows, wire, events, last_event_id: last, retry } of cases) {
  test(shows, async () => {
    const bytes = [...Buffer.from(wire, "latin1")];
    const longest = retry ?? 3000; // a delay is up to a quarter shorter
    for (const chunks of wire.length > 1000 ? [[bytes]] : everyCut(bytes)) {
      const { events: found, sent, delay } = await seen(chunks);
      assert.deepEqual(found, events);
      assert.equal(sent, /[\v\f]/.test(last) ? "" : last.trim()); // as a header can have it
      assert.ok(delay >= Math.min(0.75 * longest, LONGEST) && delay <= Math.min(longest, LONGEST));
    }
  });
}

test("an event comes as soon as its last CR, whatever follows", async () => {
  const { fetch } = answers(events(new Body(["data: 1\r\r"], { hangs: true })));
  for await (const { data } of stream("/", { fetch })) {
    assert.equal(data, 1);
    break;
  }
});

test("an event of 16 MB in chunks of 1 KB takes no time that grows with the square", async () => {
  const text = "x".repeat(1024);
  const chunks = ["data: ", ...Array(16 * 1024).fill(text), "\n\n"];
  const { fetch } = answers(events(chunks));
  const [event] = await read(stream("/", { ...impatient(), fetch }));
  assert.equal(event.data.length, 16 * 1024 * 1024);
});

test("100,000 events in one chunk, or lines in one event, take no such time", async () => {
  const { fetch } = answers(
    events("data: 1\n\n".repeat(100_000)),
    events("data: 1\n".repeat(100_000) + "\n"),
  );
  const found = await read(stream("/", { ...impatient(), fetch }));
  assert.equal(found.length, 100_001);
  assert.equal(found.at(-1).data.length, 2 * 100_000 - 1);
});
