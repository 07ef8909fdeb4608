// What a stream asks for.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import { answers, events, impatient, read } from "./kit.mjs";

const { stream } = await import(process.env.CLIENT);

async function asked(path, init = {}) {
  const { fetch, requests } = answers();
  await read(stream(path, { fetch, ...init }));
  return requests[0];
}

for (const [path, init, url] of [
  ["/a", {}, "/a"],
  ["/a", { baseUrl: "https://b.example/v1" }, "https://b.example/v1/a"],
  ["/a", { baseUrl: "https://b.example/v1/" }, "https://b.example/v1/a"],
  ["/{a}/{b}", { params: { a: "1/ü ?", b: 2 } }, "/1%2F%C3%BC%20%3F/2"],
  ["/a", { query: { b: "1&2 ü", c: 3, d: false } }, "/a?b=1%262+%C3%BC&c=3&d=false"],
  ["/a", { query: { b: [1, null, 2], c: undefined, d: null, e: "" } }, "/a?b=1&b=2&e="],
  ["/a", { query: { b: undefined } }, "/a"],
  [new URL("https://b.example/a?b=1"), { query: { c: 2 } }, "https://b.example/a?b=1&c=2"],
  [new URL("https://b.example/{a}"), { params: { a: 1 } }, "https://b.example/{a}"],
]) {
  test(`the URL ${url}`, async () => {
    const { href } = new URL(url, "https://a.example");
    const request = await asked(path, init);
    assert.equal(new URL(request.url, "https://a.example").href, href);
    assert.equal(request.method, "GET");
  });
}

test("JSON", async () => {
  const { method, body, headers } = await asked("POST /a", { json: { b: [1] } });
  assert.deepEqual([method, body], ["POST", '{"b":[1]}']);
  assert.deepEqual(Object.fromEntries(headers), {
    accept: "text/event-stream",
    "content-type": "application/json",
  });
  assert.equal((await asked("POST /a", { json: null })).body, "null");
});

test("another body has the type that fetch gives it", async () => {
  const form = new FormData();
  const { body, headers } = await asked("PUT /a", { body: form });
  assert.equal(body, form);
  assert.deepEqual(Object.fromEntries(headers), { accept: "text/event-stream" });
});

test("own headers count more", async () => {
  const own = {
    Accept: "text/plain, text/event-stream",
    "Content-Type": "application/x+json",
    b: "1",
  };
  const { headers } = await asked("POST /a", { json: 1, headers: own });
  assert.equal(headers.get("accept"), own.Accept);
  assert.equal(headers.get("content-type"), own["Content-Type"]);
  assert.equal(headers.get("b"), "1");
});

test("options of fetch are passed on, but for the signal", async () => {
  const { signal } = new AbortController();
  const request = await asked("/a", { credentials: "include", mode: "cors", signal });
  assert.equal(request.credentials, "include");
  assert.equal(request.mode, "cors");
  assert.equal(request.cache, "no-store"); // as an EventSource has it
  assert.notEqual(request.signal, signal); // each connection has one of its own
  assert.equal((await asked("/a", { cache: "reload" })).cache, "reload");
});

test("the request is made anew each time: a header may be of the moment", async () => {
  const { fetch, requests } = answers(events(), events());
  let token = 0;
  const renewing = (url, options) => {
    options.headers.set("authorization", `Bearer ${(token += 1)}`);
    return fetch(url, options);
  };
  await read(stream("/a", { ...impatient(), fetch: renewing }));
  assert.deepEqual(
    requests.map(({ headers }) => headers.get("authorization")),
    ["Bearer 1", "Bearer 2", "Bearer 3"],
  );
});

// A header has bytes. Those of an id are UTF-8, as an EventSource sends them.

for (const id of ["1", "é", "日本", "\u{1f600}", "a b", "a\u0085", "\t1", "x".repeat(5000)]) {
  test(`an id arrives: ${JSON.stringify(id).slice(0, 20)}`, async () => {
    const found = [];
    const server = createServer((request, response) => {
      const { "last-event-id": sent } = request.headers;
      found.push(sent === undefined ? undefined : Buffer.from(sent, "latin1").toString());
      if (found.length === 2) return response.writeHead(204).end();
      response.writeHead(200, { "content-type": "text/event-stream" }).end(`id: ${id}\n\n`);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
    const baseUrl = `http://127.0.0.1:${server.address().port}`;
    await read(stream("/a", { baseUrl, ...impatient(), maxRetries: 3 })).finally(() =>
      server.close(),
    );
    assert.deepEqual(found, [undefined, id.trim()]);
  });
}

for (const id of ["a\x01", "a\x7f", "a\v"]) {
  test(`an id with a control character can't be sent: ${JSON.stringify(id)}`, async () => {
    const { fetch, requests } = answers(events(`id: ${id}\ndata: 1\n\n`));
    assert.equal((await read(stream("/a", { fetch, ...impatient() })))[0].id, id);
    assert.equal(requests[1].headers.get("last-event-id"), null);
  });
}
