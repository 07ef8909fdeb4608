// Other people's clients and ours, each used as its documentation says, with its own defaults.
//
// Each takes a URL, a method, and `got`, which is called with each event. It returns how to leave.
// `null` means that it cannot ask so. Where a client is a loop, `got` returns true for leaving it by `break`, and nothing else is done.
import { fetchEventSource } from "@microsoft/fetch-event-source";
import { EventSource as NpmEventSource } from "eventsource";
import { createEventSource } from "eventsource-client";
import { EventSourcePlus } from "event-source-plus";
import { EventSource as ExtendedEventSource } from "extended-eventsource";
import { createSseClient } from "hey-api";
import { stream } from "/client.js";

const NAMES = ["message", "price"];

const nothing = () => {};

function listen(source, got) {
  const take = ({ type, data, lastEventId }) => got({ event: type, data, id: lastEventId });
  for (const name of NAMES) source.addEventListener(name, take);
  return () => source.close();
}

export const clients = {
  stream(url, method, got) {
    const { origin, pathname } = new URL(url);
    const request = method === "GET" ? pathname : `${method} ${pathname}`;
    const loop = async () => {
      for await (const event of stream(request, { baseUrl: origin, idleTimeout: 500 })) {
        if (got(event)) break;
      }
    };
    loop().catch(nothing);
  },

  EventSource(url, method, got) {
    return method === "GET" ? listen(new EventSource(url), got) : null;
  },

  eventsource(url, method, got) {
    return listen(new NpmEventSource(url, { fetch: (to, init) => fetch(to, { ...init, method }) }), got);
  },

  "fetch-event-source"(url, method, got) {
    const controller = new AbortController();
    const { signal } = controller;
    fetchEventSource(url, { method, signal, onmessage: got }).catch(nothing);
    return () => controller.abort();
  },

  "hey-api"(url, method, got) {
    const { stream } = createSseClient({ url, method });
    const loop = async () => {
      for await (const data of stream) if (got({ data })) break;
    };
    loop().catch(nothing);
  },

  "eventsource-client"(url, method, got) {
    const source = createEventSource({ url, method });
    const loop = async () => {
      for await (const event of source) if (got(event)) break;
    };
    loop().catch(nothing);
  },

  "event-source-plus"(url, method, got) {
    const controller = new EventSourcePlus(url, { method }).listen({ onMessage: got });
    return () => controller.abort();
  },

  "extended-eventsource"(url, method, got) {
    return listen(new ExtendedEventSource(url, { method, disableLogger: true }), got);
  },
};
