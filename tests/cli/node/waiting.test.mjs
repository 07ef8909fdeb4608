// How long a stream waits before it comes back.
import assert from "node:assert/strict";
import { test } from "node:test";

import { answers, Body, events, impatient, read, status, thrown, unreachable } from "./kit.mjs";

const { stream, StreamError } = await import(process.env.CLIENT);

/** The delays of a stream that is given these answers. */
async function delays(steps, init = {}) {
  const waits = [];
  const { fetch } = answers(...steps);
  await read(stream("/", { ...impatient(waits), ...init, fetch }));
  return waits.map(({ delay }) => delay);
}

function assertDelays(found, longest) {
  assert.equal(found.length, longest.length);
  found.forEach((delay, index) => {
    const most = longest[index];
    assert.ok(Number.isInteger(delay) && delay >= 0.75 * most && delay <= most, `${found}`);
  });
}

const FAILURES = Array(6).fill(unreachable);

test("the delay doubles, up to a limit", async () => {
  assertDelays(await delays(FAILURES), [3000, 6000, 12_000, 24_000, 30_000, 30_000]);
  const init = { retryDelay: 100, maxRetryDelay: 1000 };
  assertDelays(await delays(FAILURES, init), [100, 200, 400, 800, 1000, 1000]);
});

test("a limit below the default delay is one, too", async () => {
  assertDelays(await delays(FAILURES.slice(4), { maxRetryDelay: 1000 }), [1000, 1000]);
});

test("delays differ, so that clients don't come back all at once", async () => {
  const found = await Promise.all(Array.from({ length: 20 }, () => delays([unreachable])));
  assert.ok(new Set(found.flat()).size > 1);
});

test("the server's retry replaces the delay, also above the limit", async () => {
  const steps = [events("retry: 40\n\n"), unreachable, events("retry: 60000\n\n"), unreachable];
  assertDelays(await delays(steps), [40, 80, 60_000, 60_000]);
});

test("a delay of 0 is only for the first attempt", async () => {
  const found = await delays([events("retry: 0\n\n"), unreachable, unreachable]);
  assertDelays(found, [0, 1000, 2000]);
});

test("an event ends the doubling, also an id alone, and not the response", async () => {
  const steps = [unreachable, events(), events(": hi\n\nevent: a\n\n"), events("data: 1\n\n")];
  assertDelays(await delays(steps), [3000, 6000, 12_000, 3000]);
  const block = [unreachable, events("id: 1\n\n"), unreachable];
  assertDelays(await delays(block), [3000, 3000, 6000]);
});

test("attempts are counted since the last event", async () => {
  const waits = [];
  const { fetch } = answers(unreachable, unreachable, events("data: 1\n\n"), unreachable);
  await read(stream("/", { ...impatient(waits), fetch }));
  assert.deepEqual(
    waits.map(({ attempt }) => attempt),
    [1, 2, 1, 2],
  );
});

test("after maxRetries the last error is thrown", async () => {
  const waits = [];
  const { fetch, requests } = answers(events("data: 1\n\n"), unreachable, unreachable, status(503));
  const error = await thrown(read(stream("/", { ...impatient(waits), maxRetries: 3, fetch })));
  assert.ok(error instanceof StreamError);
  assert.equal(error.response.status, 503);
  assert.equal(await error.response.text(), "why");
  assert.equal(requests.length, 4);
  assert.equal(waits.length, 3);
  const never = answers(unreachable);
  await assert.rejects(read(stream("/", { maxRetries: 0, fetch: never.fetch })), StreamError);
});

// Retry-After

const at = (seconds, now = Date.now()) => new Date(now + 1000 * seconds).toUTCString();

/** The delay that a stream is asked for. It is not waited for. */
async function asked(headers, code = 503) {
  const aborter = new AbortController();
  const { fetch } = answers(status(code, headers));
  let found;
  const onwait = ({ delay }) => {
    found = delay;
    aborter.abort();
  };
  await read(stream("/", { fetch, onwait, signal: aborter.signal }));
  return found;
}

test("Retry-After counts in seconds", async () => {
  assert.equal(await asked({ "retry-after": "120" }), 120_000);
  assert.equal(await asked({ "retry-after": "120" }, 429), 120_000);
  assert.equal(await asked({ "retry-after": "9".repeat(400) }), 2 ** 31 - 1);
});

test("Retry-After is a date, by the clock of the server if that is known", async () => {
  const now = Date.UTC(2001, 1, 3);
  assert.equal(await asked({ "retry-after": at(120, now), date: at(0, now) }), 120_000);
  const delay = await asked({ "retry-after": at(120) });
  assert.ok(delay > 110_000 && delay <= 120_000);
});

for (const value of ["0", at(-60), "soon", "", "-5", "1.5"]) {
  test(`Retry-After that asks for nothing is ignored: ${value}`, async () => {
    assertDelays([await asked({ "retry-after": value })], [3000]);
  });
}

test("nothing shortens a wait that the server asks for", async () => {
  const begin = performance.now();
  assert.equal((await delays([status(503, { "retry-after": "1" })]))[0], 1000);
  assert.ok(performance.now() - begin > 990); // it was online again, which ends other waits
});

test("a stream that was lost waits as long as one that ends", async () => {
  const lost = events(new Body(["data: 1\n\n"], { error: new TypeError("terminated") }));
  assertDelays(await delays([lost]), [3000]);
});
