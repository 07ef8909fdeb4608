// What the panels have in common: where streams are read from, and streams that come back.
import { showState } from "./dom.js";

// Over HTTP/1.1 a browser opens six connections to a port, for all tabs together. So the server of
// this page listens on more than one. Where only the first can be reached, all streams are read there.
let ports = document.querySelector("meta[name=ports]").content.split(",").filter(Boolean);
const onPort = (port, path) => `http://${location.hostname}:${port}${path}`;
if (ports.length > 0) {
  const reachable = await fetch(onPort(ports[0], "/legacy/status")).then((answer) => answer.ok, () => false);
  if (!reachable) ports = [];
}

// The address of a path on one of the ports, which are numbered from 0.
export const address = (path, lane = 0) => (lane > 0 && ports.length >= lane ? onPort(ports[lane - 1], path) : path);

// Where there is one port only, streams take turns, so that connections are left for requests.
const MOST = ports.length > 0 ? Infinity : 3;

const open = new Set(); // the streams of this page, also those that rest
const connected = new Set(); // those that don't, the oldest first

// An EventSource that also comes back when it was refused, and rests while its tab is hidden. Each time
// it goes on after the last event that it has had.
export class Stream {
  #source = null;
  #timer = 0;
  #wanted = false;

  constructor(panel, path, { lane = 0, on = {}, isOver = async () => false, last = "", shows = true } = {}) {
    Object.assign(this, { panel, path, lane, on, isOver, last, shows });
  }

  start() {
    this.#wanted = true;
    open.add(this);
    if (document.hidden) this.#show("paused");
    else this.#connect();
  }

  stop(state = "idle") {
    this.#wanted = false;
    open.delete(this);
    this.#close();
    this.#show(state);
  }

  rest() {
    this.#close();
    this.#show("paused");
  }

  wake() {
    if (this.#wanted && this.#source === null) this.#connect();
  }

  #connect() {
    this.#show("connecting");
    const join = this.path.includes("?") ? "&" : "?";
    const source = new EventSource(`${address(this.path, this.lane)}${join}last_event_id=${encodeURIComponent(this.last)}`);
    this.#source = source;
    connected.add(this);
    if (connected.size > MOST) [...connected][0].rest();
    for (const [type, take] of Object.entries(this.on)) source.addEventListener(type, (event) => {
      if (event.lastEventId) this.last = event.lastEventId;
      take(event.data === undefined ? event : JSON.parse(event.data), event);
    });
    source.addEventListener("open", () => this.#show("live"));
    source.addEventListener("error", (event) => this.#lost(source, event));
  }

  async #lost(source, event) {
    if (event.data !== undefined || source !== this.#source) return;
    if (source.readyState !== EventSource.CLOSED) return this.#show("away"); // the browser comes back
    this.#source = null;
    connected.delete(this);
    this.#show("away");
    const over = await this.isOver().catch(() => false);
    if (!this.#wanted || this.#source !== null) return;
    if (over) this.stop("over");
    else this.#timer = setTimeout(() => this.wake(), 500 + 1000 * Math.random());
  }

  #close() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
    connected.delete(this);
    if (!document.hidden) for (const stream of open) if (connected.size < MOST) stream.wake();
  }

  #show(state) {
    if (this.shows) showState(this.panel, state);
  }
}

document.addEventListener("visibilitychange", () => {
  for (const stream of open) document.hidden ? stream.rest() : stream.wake();
});

// The blocks of an event stream that is read by fetch, as they are on the wire.
export async function* blocksOf(response) {
  let rest = "";
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const blocks = (rest + piece.value).split("\n\n");
    rest = blocks.pop();
    yield* blocks;
  }
}
