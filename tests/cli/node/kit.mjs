// What the tests of the written client share: answers instead of a network, and a browser's events.
import { getEventListeners } from "node:events";

const browser = new EventTarget();
globalThis.addEventListener = browser.addEventListener.bind(browser);
globalThis.removeEventListener = browser.removeEventListener.bind(browser);

/** Tells that the browser is online again, so that a client waits no longer. */
export const online = () => browser.dispatchEvent(new Event("online"));

export const onlineListeners = () => getEventListeners(browser, "online").length;

export const timers = () =>
  process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

export const EVENT_STREAM = { "content-type": "text/event-stream" };

/** The body of an answer, which knows what has become of it. */
export class Body {
  pulls = 0;
  cancelled = false;

  /** After its chunks the body ends, or fails with `error`, or nothing follows (`hangs`). */
  constructor(chunks, { error, hangs } = {}) {
    const waiting = chunks.map((chunk) =>
      typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk,
    );
    const pull = (controller) => {
      this.pulls += 1;
      if (waiting.length) controller.enqueue(waiting.shift());
      else if (error) controller.error(error);
      else if (hangs) return new Promise(() => {});
      else controller.close();
    };
    const cancel = () => void (this.cancelled = true);
    this.stream = new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
  }
}

/** Answers with events: `answers(events("data: 1\n\n"))`. Another argument is a Body. */
export const events = (body = [], init = {}) => {
  const stream = body instanceof Body ? body.stream : new Body([body].flat()).stream;
  return () => new Response(stream, { headers: EVENT_STREAM, ...init });
};

export const status =
  (code, headers = {}, text = code === 204 ? null : "why") =>
  () =>
    new Response(text, { status: code, headers });

export const unreachable = () => {
  throw new TypeError("fetch failed");
};

/** Fails as `fetch` does, as soon as its signal is aborted. */
export const pending = (signal) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });

/** A `fetch` that gives one answer after the other, then 204. `requests` has what was asked. */
export function answers(...steps) {
  const requests = [];
  const fetch = async (url, options) => {
    requests.push({ url, ...options });
    const step = steps.shift() ?? status(204);
    return step(options.signal);
  };
  return { fetch, requests };
}

/** Reads to the end. */
export async function read(generator) {
  const found = [];
  for await (const event of generator) found.push(event);
  return found;
}

/** Returns the error of a promise. */
export const thrown = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

/** The options of a stream whose waits end at once. `waits` gets what `onwait` is told. */
export function impatient(waits = []) {
  return {
    onwait: (wait) => {
      waits.push(wait);
      queueMicrotask(online);
    },
  };
}
