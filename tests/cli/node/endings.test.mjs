// How a stream is closed by its reader, in each state, and what is left of it: nothing.
import assert from "node:assert/strict";
import { getEventListeners, once } from "node:events";
import { createServer } from "node:http";
import { test } from "node:test";

import {
  answers,
  Body,
  events,
  impatient,
  online,
  onlineListeners,
  pending,
  read,
  status,
  timers,
} from "./kit.mjs";

const { stream } = await import(process.env.CLIENT);

const silent = () => new Body(["data: 1\n\ndata: 2\n\n"], { hangs: true });

/** Each state with a stream in it, and `reached`, a promise for the moment. */
const STATES = {
  connecting: (steps) => {
    const reached = withResolvers();
    steps.push((signal) => {
      reached.resolve();
      return pending(signal);
    });
    return { reached: reached.promise };
  },
  "connecting, with a fetch that knows no signal": (steps) => {
    const reached = withResolvers();
    steps.push(() => {
      reached.resolve();
      return new Promise(() => {});
    });
    return { reached: reached.promise };
  },
  open: (steps) => {
    const reached = withResolvers();
    const body = new Body([], { hangs: true });
    steps.push(events(body));
    return {
      body,
      reached: reached.promise,
      init: { onopen: () => setImmediate(reached.resolve) },
    };
  },
  waiting: (steps) => {
    const reached = withResolvers();
    steps.push(status(503));
    return { reached: reached.promise, init: { onwait: () => setImmediate(reached.resolve) } };
  },
  "waiting as the server has asked": (steps) => {
    const reached = withResolvers();
    steps.push(status(503, { "retry-after": "100" }));
    return { reached: reached.promise, init: { onwait: () => setImmediate(reached.resolve) } };
  },
};

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

function assertNothingLeft(signal, before) {
  assert.equal(getEventListeners(signal, "abort").length, 0);
  assert.equal(onlineListeners(), 0);
  assert.equal(timers(), before);
}

for (const [state, prepare] of Object.entries(STATES)) {
  for (const way of ["abort", "return"]) {
    test(`${way} while ${state}`, async () => {
      const before = timers();
      const aborter = new AbortController();
      const { signal } = aborter;
      const steps = [];
      const { body, reached, init } = prepare(steps);
      const { fetch, requests } = answers(...steps);
      const generator = stream("/", { ...init, fetch, signal, idleTimeout: 60_000 });
      const next = generator.next();
      await reached;
      if (way === "abort") aborter.abort();
      else assert.deepEqual(await generator.return(), { done: true, value: undefined });
      assert.deepEqual(await next, { done: true, value: undefined });
      assert.deepEqual(await generator.next(), { done: true, value: undefined });
      assert.equal(requests.length, 1);
      assert.ok(requests[0].signal.aborted);
      if (body) assert.ok(body.cancelled);
      assertNothingLeft(signal, before);
    });
  }
}

for (const way of ["abort", "break", "throw", "abort before the next event"]) {
  test(`${way} with an event in hand`, async () => {
    const before = timers();
    const aborter = new AbortController();
    const { signal } = aborter;
    const body = silent();
    const { fetch, requests } = answers(events(body));
    const found = [];
    const mistake = new Error("mistake");
    const reading = async () => {
      for await (const { data } of stream("/", { fetch, signal, idleTimeout: 60_000 })) {
        found.push(data);
        assert.equal(timers(), before); // the clock of the silence stands still
        if (way === "break") break;
        if (way === "throw") throw mistake;
        aborter.abort();
        if (way === "abort") assert.ok(body.cancelled); // at once, and not at the next event
      }
    };
    await (way === "throw" ? assert.rejects(reading, mistake) : reading());
    assert.deepEqual(found, [1]);
    assert.ok(body.cancelled && requests[0].signal.aborted);
    assertNothingLeft(signal, before);
  });
}

test("a signal that is aborted already asks for nothing", async () => {
  const { fetch, requests } = answers(events("data: 1\n\n"));
  assert.deepEqual(await read(stream("/", { fetch, signal: AbortSignal.abort() })), []);
  assert.equal(requests.length, 0);
});

test("nor does a stream that is closed before it begins", async () => {
  const { fetch, requests } = answers(events("data: 1\n\n"));
  const generator = stream("/", { fetch });
  await generator.return();
  assert.deepEqual(await read(generator), []);
  assert.equal(requests.length, 0);
});

for (const name of ["onopen", "onwait", "end"]) {
  test(`abort in ${name}`, async () => {
    const before = timers();
    const aborter = new AbortController();
    const { signal } = aborter;
    const body = name === "onwait" ? new Body([]) : silent();
    const { fetch, requests } = answers(events(body), events("data: 1\n\n"));
    const init = { fetch, signal, [name]: () => aborter.abort() };
    assert.ok((await read(stream("/", init))).length <= 1);
    assert.equal(requests.length, 1);
    assertNothingLeft(signal, before);
  });
}

test("after a thousand connections nothing has grown", async () => {
  const before = timers();
  const { signal } = new AbortController();
  const steps = Array.from({ length: 1000 }, (_, number) =>
    number % 2 ? status(503) : events("data: 1\n\n"),
  );
  const { fetch } = answers(...steps);
  let most = 0;
  const onwait = () => {
    most = Math.max(most, getEventListeners(signal, "abort").length, onlineListeners());
    queueMicrotask(online);
  };
  assert.equal((await read(stream("/", { fetch, signal, onwait }))).length, 500);
  assert.equal(most, 1);
  assertNothingLeft(signal, before);
});

// Real connections

async function serving(handler, use) {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`http://127.0.0.1:${server.address().port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("break closes the connection", async () => {
  const closed = withResolvers();
  const handler = (request, response) => {
    request.socket.on("close", closed.resolve);
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  };
  await serving(handler, async (baseUrl) => {
    for await (const { data } of stream("/", { baseUrl })) {
      assert.equal(data, 1);
      break;
    }
    await closed.promise;
  });
});

for (const way of ["abort", "return"]) {
  test(`${way} closes a connection that has not been answered`, async () => {
    const asked = withResolvers();
    const closed = withResolvers();
    const handler = (request) => {
      request.socket.on("close", closed.resolve);
      asked.resolve();
    };
    await serving(handler, async (baseUrl) => {
      const aborter = new AbortController();
      const generator = stream("/", { baseUrl, signal: aborter.signal });
      const next = generator.next();
      await asked.promise;
      if (way === "abort") aborter.abort();
      else void generator.return();
      await closed.promise;
      assert.deepEqual(await next, { done: true, value: undefined });
    });
  });
}

test("a slow reader holds the network back", async () => {
  const full = withResolvers();
  let sent = 0;
  const line = `data: ${"x".repeat(65_530)}\n\n`;
  const handler = (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const timer = setInterval(() => full.resolve(sent), 300); // until nothing moves any more
    const more = () => {
      timer.refresh();
      while (sent < 800) {
        sent += 1;
        if (!response.write(line)) return;
      }
      response.end();
    };
    response.on("drain", more).on("close", () => clearInterval(timer));
    more();
  };
  await serving(handler, async (baseUrl) => {
    let found = 0;
    const waits = [];
    const init = { baseUrl, reconnect: "on-error", ...impatient(waits) };
    for await (const { data } of stream("/", init)) {
      assert.equal(data.length, 65_530);
      found += 1;
      if (found === 1) assert.ok((await full.promise) < 400); // of 800, 52 MB
    }
    assert.equal(found, 800);
    assert.deepEqual(waits, []);
  });
});

test("what is gone is noticed: connections come back to a server that was killed", async () => {
  let number = 0;
  const handler = (request, response) => {
    number += 1;
    if (number > 3) return response.writeHead(204).end();
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(`id: ${number}\ndata: ${number}\n\n`, () => {
      if (number < 3) setImmediate(() => request.socket.destroy());
      else response.end();
    });
  };
  await serving(handler, async (baseUrl) => {
    const found = await read(stream("/", { baseUrl, ...impatient() }));
    assert.ok(found.length >= 1); // a connection that breaks may take what was on its way
    assert.equal(found.at(-1).id, "3");
  });
});

test("a silent server is told from one that is gone", async () => {
  const waits = [];
  let number = 0;
  const handler = (_, response) => {
    number += 1;
    if (number > 1) return response.writeHead(204).end();
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  };
  await serving(handler, async (baseUrl) => {
    const found = await read(stream("/", { baseUrl, idleTimeout: 1000, ...impatient(waits) }));
    assert.equal(found.length, 1);
    assert.match(waits[0].error.message, /silent/);
    assert.equal(waits[0].error.cause, undefined);
  });
});
