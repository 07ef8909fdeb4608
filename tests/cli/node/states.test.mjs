// The states of a stream, and what moves it from one to another: see the table of docs/client.md.
import assert from "node:assert/strict";
import { test } from "node:test";

import {
  answers,
  Body,
  events,
  impatient,
  pending,
  read,
  status,
  thrown,
  unreachable,
} from "./kit.mjs";

const { stream, StreamError } = await import(process.env.CLIENT);

const LOST = new TypeError("terminated");
const ONE = "id: 1\ndata: 1\n\n";

const header = ({ headers }) => headers.get("last-event-id");

// Connecting

test("204 ends the loop", async () => {
  const { fetch, requests } = answers(status(204), events("data: 1\n\n"));
  assert.deepEqual(await read(stream("/", { fetch })), []);
  assert.equal(requests.length, 1);
});

for (const code of [408, 425, 429, 500, 502, 503, 504]) {
  for (const path of ["/", "POST /plain"]) {
    test(`${code} is waited for: ${path}`, async () => {
      const waits = [];
      const refused = new Body(["why"]);
      const { fetch, requests } = answers(
        () => new Response(refused.stream, { status: code }),
        events("data: 1\n\n"),
      );
      const found = await read(stream(path, { ...impatient(waits), fetch }));
      assert.deepEqual(found, [{ event: "message", data: 1, id: "" }]);
      assert.ok(requests.length > 1);
      assert.equal(waits[0].error.response.status, code);
      assert.ok(waits[0].error instanceof StreamError);
      assert.ok(refused.cancelled);
    });
  }
}

for (const path of ["/", "POST /plain"]) {
  test(`a server that can't be reached is waited for: ${path}`, async () => {
    const waits = [];
    const { fetch } = answers(unreachable, events("data: 1\n\n"));
    assert.equal((await read(stream(path, { ...impatient(waits), fetch }))).length, 1);
    const { error } = waits[0];
    assert.equal(error.response, undefined);
    assert.equal(error.cause.message, "fetch failed");
  });
}

for (const [name, answer] of [
  ["404", status(404)],
  ["401", status(401)],
  ["501", status(501)],
  ["505", status(505)],
  ["201 with events", events("why", { status: 201 })],
  ["HTML", () => new Response("why", { headers: { "content-type": "text/html" } })],
  ["no type", () => new Response(new TextEncoder().encode("why"))],
  [
    "a similar type",
    () => new Response("why", { headers: { "content-type": "text/event-streams" } }),
  ],
]) {
  test(`any other answer is thrown, and can be read: ${name}`, async () => {
    const { fetch, requests } = answers(answer);
    const error = await thrown(read(stream("/", { fetch })));
    assert.ok(error instanceof StreamError && error.name === "StreamError");
    assert.equal(await error.response.text(), "why");
    assert.equal(requests.length, 1);
  });
}

for (const type of [
  "text/event-stream; charset=utf-8",
  "Text/Event-Stream",
  "text/event-stream ;a",
]) {
  test(`a stream has the type ${type}`, async () => {
    const { fetch } = answers(events(ONE, { headers: { "content-type": type } }));
    assert.equal((await read(stream("/", { ...impatient(), fetch }))).length, 1);
  });
}

test("a stream without a body ends", async () => {
  const waits = [];
  const { fetch } = answers(
    () => new Response(null, { headers: { "content-type": "text/event-stream" } }),
  );
  assert.deepEqual(await read(stream("/", { ...impatient(waits), fetch })), []);
  assert.equal(waits.length, 1);
});

// Open

test("a stream that ends is opened again, with the last id", async () => {
  const { fetch, requests } = answers(
    events(ONE),
    events("id: 2\n\ndata: 2\n\n"),
    events("id\n\n"),
  );
  const found = await read(stream("/", { ...impatient(), fetch }));
  assert.deepEqual(found, [
    { event: "message", data: 1, id: "1" },
    { event: "message", data: 2, id: "2" },
  ]);
  assert.deepEqual(requests.map(header), [null, "1", "2", null]);
});

test("an event that is not complete is dropped, with its id", async () => {
  const { fetch, requests } = answers(events(ONE + "id: 2\ndata: 2\n"));
  assert.equal((await read(stream("/", { ...impatient(), fetch }))).length, 1);
  assert.equal(header(requests[1]), "1");
});

for (const [path, init] of [
  ["POST /plain", {}],
  ["/", { reconnect: "on-error" }],
  ["/", { reconnect: "never" }],
]) {
  test(`a stream that ends is the end: ${path} ${init.reconnect ?? ""}`, async () => {
    const { fetch, requests } = answers(events(ONE));
    assert.equal((await read(stream(path, { ...init, fetch }))).length, 1);
    assert.equal(requests.length, 1);
  });
}

test("reconnect: always is also for POST", async () => {
  const { fetch, requests } = answers(events("data: 1\n\n"));
  const init = { ...impatient(), reconnect: "always", json: { a: 1 } };
  assert.equal((await read(stream("POST /answer", { ...init, fetch }))).length, 1);
  assert.deepEqual(
    requests.map(({ body }) => body),
    ['{"a":1}', '{"a":1}'],
  );
});

for (const [path, chunks] of [
  ["/", []],
  ["/", ["data: 1\n\n"]],
  ["/", [ONE]],
  ["POST /plain", [ONE]],
  ["POST /plain", ["id: 1\n\n", "data: 2"]],
]) {
  test(`a connection that is lost comes back: ${path} after ${JSON.stringify(chunks)}`, async () => {
    const waits = [];
    const { fetch, requests } = answers(events(new Body(chunks, { error: LOST })), events());
    await read(stream(path, { ...impatient(waits), fetch }));
    assert.equal(waits[0].error.cause, LOST);
    assert.equal(waits[0].error.response.status, 200);
    assert.equal(header(requests[1]), chunks.join().includes("id") ? "1" : null);
  });
}

test("a POST that is lost without an id is not repeated", async () => {
  const { fetch, requests } = answers(events(new Body(["data: 1\n\n"], { error: LOST })));
  const found = [];
  const reading = async () => {
    for await (const { data } of stream("POST /answer", { fetch })) found.push(data);
  };
  await assert.rejects(reading, { name: "StreamError", cause: LOST });
  assert.deepEqual(found, [1]);
  assert.equal(requests.length, 1);
});

test("a POST goes on after an id that it was given", async () => {
  const { fetch, requests } = answers(events(new Body([], { error: LOST })));
  await read(stream("POST /answer", { ...impatient(), fetch, lastEventId: "7" }));
  assert.deepEqual(requests.map(header), ["7", "7"]);
});

for (const [name, answer] of [
  ["lost", events(new Body([ONE], { error: LOST }))],
  ["busy", status(503)],
  ["unreachable", unreachable],
]) {
  test(`reconnect: never throws what happens: ${name}`, async () => {
    const { fetch, requests } = answers(answer);
    await assert.rejects(read(stream("/", { fetch, reconnect: "never" })), StreamError);
    assert.equal(requests.length, 1);
  });
}

test("the last event of a preset ends the stream, and is not passed", async () => {
  const body = new Body(['data: {"a": 1}\n\ndata: [DONE]\n\ndata: 2\n\n'], { hangs: true });
  const { fetch, requests } = answers(events(body));
  assert.deepEqual(await read(stream("POST /answer", { fetch })), [
    { event: "message", data: { a: 1 }, id: "" },
  ]);
  assert.ok(body.cancelled && requests[0].signal.aborted);
});

test("it is data elsewhere, and under another name", async () => {
  const { fetch } = answers(events("event: a\ndata: [DONE]\n\ndata: [DONE]\n\n"));
  assert.equal((await read(stream("POST /answer", { fetch })))[0].data, "[DONE]");
  const other = answers(events("data: [DONE]\n\ndata: {\n\ndata:\n\n"));
  const found = await read(stream("/", { ...impatient(), fetch: other.fetch }));
  assert.deepEqual(
    found.map(({ data }) => data),
    ["[DONE]", "{", ""],
  );
});

for (const reconnect of ["on-error", "never"]) {
  test(`a stream that ends without its last event is not complete: ${reconnect}`, async () => {
    const { fetch, requests } = answers(events("id: 1\ndata: 1\n\n"));
    const message = "The stream has ended without its last event";
    const options = { ...impatient(), fetch, reconnect };
    await assert.rejects(read(stream("POST /answer", options)), { name: "StreamError", message });
    assert.equal(requests.length, 1);
  });
}

test("it is opened again if it is opened always", async () => {
  const { fetch, requests } = answers(events("id: 1\ndata: 1\n\n"), events("data: [DONE]\n\n"));
  await read(stream("POST /answer", { ...impatient(), fetch, reconnect: "always" }));
  assert.equal(requests.length, 2);
});

test("an own `end` replaces that of the preset", async () => {
  const { fetch } = answers(events("data: [DONE]\n\nevent: bye\ndata: x\n\ndata: 2\n\n"));
  const end = ({ event, raw }) => event === "bye" && raw === "x";
  assert.equal((await read(stream("POST /answer", { fetch, end })))[0].data, "[DONE]");
});

// Silence

for (const path of ["/beating", "POST /beating"]) {
  const init = path === "/beating" ? {} : { idleTimeout: 50 };

  test(`silence is a lost connection: ${path}`, async () => {
    const waits = [];
    const body = new Body([ONE], { hangs: true });
    const { fetch, requests } = answers(events(body));
    assert.equal((await read(stream(path, { ...impatient(waits), ...init, fetch }))).length, 1);
    assert.match(waits[0].error.message, /silent/);
    assert.ok(body.cancelled && requests[0].signal.aborted);
    assert.equal(header(requests[1]), "1");
  });
}

test("also before the response", async () => {
  const waits = [];
  const { fetch } = answers(pending, () => new Promise(() => {}), events(ONE));
  assert.equal((await read(stream("/beating", { ...impatient(waits), fetch }))).length, 1);
  assert.equal(waits.length, 3);
  const other = answers(pending);
  const post = stream("POST /answer", { fetch: other.fetch, idleTimeout: 50 });
  await assert.rejects(read(post), /silent/); // the server may be at work
});

test("an answer that comes after the silence is cancelled", async () => {
  const late = new Body(["data: 1\n\n"], { hangs: true });
  let answer;
  const slow = new Promise((resolve) => (answer = resolve));
  const { fetch } = answers(() => slow);
  assert.deepEqual(await read(stream("/beating", { ...impatient(), fetch })), []);
  answer(events(late)());
  await new Promise(setImmediate);
  assert.ok(late.cancelled);
});

test("what arrives in time is no silence, not even a comment", async () => {
  const waits = [];
  const { fetch } = answers(events([":\n", ":\n", ONE]));
  await read(stream("/beating", { ...impatient(waits), fetch }));
  assert.match(waits[0].error.message, /ended/);
});

test("a limit that no timer can have is none", async () => {
  const aborter = new AbortController();
  const waits = [];
  const { fetch } = answers(events(new Body([], { hangs: true })));
  const onopen = () => setTimeout(() => aborter.abort(), 5); // a timer that is too long takes 1 ms
  const init = { ...impatient(waits), fetch, onopen, signal: aborter.signal };
  await read(stream("/", { ...init, idleTimeout: Infinity }));
  assert.deepEqual(waits, []);
});

// What the caller does wrong is thrown, and not tried again.

for (const [name, init, path = "/"] of [
  ["a path without a server", { fetch: undefined }],
  ["a body with GET", { fetch: undefined, baseUrl: "http://127.0.0.1:1", body: "a" }],
  ["a header that can't be sent", { headers: { a: "1\n2" } }],
  ["JSON that is none", { json: 1n }, "POST /answer"],
]) {
  test(`what can't be sent is thrown: ${name}`, async () => {
    const { fetch, requests } = answers();
    await assert.rejects(read(stream(path, { fetch, ...init })), TypeError);
    assert.equal(requests.length, 0);
  });
}

for (const name of ["onopen", "end", "onwait"]) {
  test(`an error of ${name} is thrown`, async () => {
    const body = new Body([ONE], { error: name === "onwait" ? LOST : undefined, hangs: true });
    const { fetch, requests } = answers(events(body));
    const mistake = new Error("mistake");
    const fail = () => {
      throw mistake;
    };
    await assert.rejects(read(stream("/", { fetch, [name]: fail })), mistake);
    assert.equal(requests.length, 1);
    assert.ok(requests[0].signal.aborted);
  });
}
