/** An event of a stream. With its `id` as `lastEventId`, another stream goes on after it. */
export type StreamEvent<Events> = {
  [Name in keyof Events & string]: { event: Name; data: Events[Name]; id: string };
}[keyof Events & string];

/** A value in a query. An array is sent as several parameters of one name. */
export type QueryValue = string | number | boolean | null | undefined;

/** Options of `stream`. `signal`, `headers`, `credentials` and others are those of `fetch`. */
export interface StreamInit extends Omit<RequestInit, "body" | "method"> {
  /** What comes before the path. A page needs none for the server that it comes from. */
  baseUrl?: string | undefined;
  /** The values of the path's parameters. */
  params?: { [name: string]: string | number | boolean } | undefined;
  /** The parameters of the query. `undefined` and `null` are left out. */
  query?: { [name: string]: QueryValue | readonly QueryValue[] } | undefined;
  /** The body, which is sent as JSON. */
  json?: unknown;
  /** A body that is not JSON. */
  body?: BodyInit | undefined;
  /** What sends the requests, for example with a token that it renews. */
  fetch?: typeof fetch | undefined;
  /** The `id` of the last event that an earlier stream had. */
  lastEventId?: string | undefined;
  /** "always", the default of GET, also reopens a stream that ended. "on-error" is that of others. */
  reconnect?: "always" | "on-error" | "never" | undefined;
  /** How many attempts in a row may bring no event. By default there is no limit. */
  maxRetries?: number | undefined;
  /** Milliseconds before the first attempt: 3000 by default. The server's `retry` replaces it. */
  retryDelay?: number | undefined;
  /** Milliseconds up to which the delay doubles: 30000 by default. */
  maxRetryDelay?: number | undefined;
  /** Milliseconds of silence after which a connection is lost. 0 waits without end. */
  idleTimeout?: number | undefined;
  /** Whether an event is the last one. The loop ends, and does not get this event. */
  end?: ((event: { event: string; raw: string }) => boolean) | undefined;
  /** Called each time the stream opens. */
  onopen?: ((response: Response) => void) | undefined;
  /** Called before each wait: why, for how many milliseconds, and which attempt comes next. */
  onwait?: ((info: { error: unknown; delay: number; attempt: number }) => void) | undefined;
}

/** The arguments of `stream` after the path. They may be missing if no option is required. */
export type StreamArguments<Own> = {} extends Own
  ? [init?: Omit<StreamInit, "params" | "query" | "json" | "body"> & Own]
  : [init: Omit<StreamInit, "params" | "query" | "json" | "body"> & Own];

/** Says why a stream could not go on. `cause` is the error of `fetch`, if there is one. */
export class StreamError extends Error {
  /** The last response. If it is not a stream, its body can still be read. */
  readonly response: Response | undefined;

  constructor(message: string, response?: Response, cause?: unknown) {
    super(message, { cause });
    this.name = "StreamError";
    this.response = response;
  }
}

/**
 * Opens a stream, and opens it again where it broke off: `for await (const event of stream("/path"))`.
 *
 * The loop ends with the stream, or when `signal` is aborted. `break` closes the connection at once.
 * Data that is not JSON is passed as a string.
 */
export function stream<Events>(
  url: URL,
  init?: StreamInit,
): AsyncGenerator<StreamEvent<Events>, void, undefined>;
export function stream<Path extends keyof Streams & keyof Requests>(
  path: Path,
  ...init: StreamArguments<Requests[Path]>
): AsyncGenerator<StreamEvent<Streams[Path]>, void, undefined>;
export function stream(
  target: string | URL,
  init: StreamInit = {},
): AsyncGenerator<{ event: string; data: unknown; id: string }, void, undefined> {
  let closed = false;
  let interrupt = nothing; // ends what is waited for
  const close = (): void => {
    closed = true;
    interrupt();
  };

  async function* events() {
    const [name, method = "GET", path = ""] = /^(?:([A-Z]+) )?(.*)/s.exec(`${target}`) ?? [""];
    const { idle, end } = routes[name] ?? {};
    const { signal, maxRetries = Infinity, maxRetryDelay = 30_000, idleTimeout = idle } = init;
    const { reconnect = method === "GET" ? "always" : "on-error" } = init;
    const isLast = init.end ?? (({ event, raw }) => event === end?.[0] && raw === end[1]);
    let { lastEventId = "", retryDelay = Math.min(3000, maxRetryDelay) } = init;
    let attempt = 0;
    closed ||= !!signal?.aborted;
    signal?.addEventListener("abort", close);
    try {
      while (!closed) {
        const controller = new AbortController();
        // It throws what can't be sent at all: no later attempt would succeed.
        const send = request(method, path, init, lastEventId, controller.signal);
        const connection = connect(controller, send, idleTimeout);
        interrupt = connection.close;
        const response = await connection.open();
        if (closed || response?.status === 204) return;
        if (response && isStream(response)) {
          init.onopen?.(response);
          const parse = parser(lastEventId, (milliseconds) => (retryDelay = milliseconds));
          for (let chunk; (chunk = await connection.read()); ) {
            for (const { event, raw, id } of parse(chunk)) {
              attempt = 0;
              lastEventId = id;
              if (raw === undefined) continue;
              if (isLast({ event, raw })) return;
              yield { event, data: parsed(raw), id };
              if (closed) return;
            }
          }
        }
        const { outcome, error } = connection.failure() ?? outcomeOf(response, !!(init.end ?? end));
        if (closed || (outcome === "ended" && reconnect !== "always")) return;
        if (
          outcome === "refused" ||
          (outcome === "unfinished" && reconnect !== "always") ||
          (outcome === "lost" && method !== "GET" && !headerOf(lastEventId)) ||
          reconnect === "never" ||
          attempt >= maxRetries
        ) {
          interrupt = nothing; // the body of the response can be read
          throw error;
        }
        interrupt();
        const asked = retryAfter(response);
        const delay = Math.min(asked || backoff(attempt, retryDelay, maxRetryDelay), LONGEST);
        attempt += 1;
        init.onwait?.({ error, delay, attempt });
        if (!closed) await pause(delay, !asked, (end) => (interrupt = end));
      }
    } finally {
      signal?.removeEventListener("abort", close);
      interrupt();
    }
  }

  const generator = events();
  const finish = generator.return.bind(generator);
  generator.return = (value) => {
    close(); // otherwise it would wait for the next event
    return finish(value);
  };
  return generator;
}

const nothing = (): void => {};

const LONGEST = 2 ** 31 - 1; // milliseconds of a timer, 24 days

type Outcome = "ended" | "unfinished" | "lost" | "unreachable" | "busy" | "refused";

interface Failure {
  outcome: Outcome;
  error: StreamError;
}

/** Makes one attempt: sends a request, and reads the response when it is asked to. */
function connect(
  controller: AbortController,
  send: () => Promise<Response>,
  idleTimeout: number | undefined,
) {
  let response: Response | undefined;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let failure: Failure | undefined;
  let settle = nothing;

  const close = (): void => {
    controller.abort();
    (reader ?? response?.body)?.cancel().catch(nothing);
    settle();
  };

  const fail = (outcome: Outcome, message: string, cause?: unknown): void => {
    failure ??= { outcome, error: new StreamError(message, response, cause) };
    close();
  };

  /** Returns a result, or undefined when the connection fails, is closed, or is silent too long. */
  const inTime = <T>(pending: Promise<T>): Promise<T | undefined> =>
    new Promise((resolve) => {
      const silent = (): void => fail("lost", "The server was silent for too long");
      const timer = idleTimeout && setTimeout(silent, Math.min(idleTimeout, LONGEST));
      const done = (result?: T): void => {
        clearTimeout(timer);
        resolve(result);
      };
      settle = done;
      pending.then(done, (cause: unknown) =>
        fail(response ? "lost" : "unreachable", "The connection was lost", cause),
      );
    });

  return {
    close,
    failure: () => failure,
    open: () =>
      inTime(
        send().then((head) => {
          response = head;
          if (controller.signal.aborted) close(); // it came too late
          return head;
        }),
      ),
    read: async (): Promise<Uint8Array | undefined> => {
      reader ??= response?.body?.getReader();
      return reader && (await inTime(reader.read()))?.value;
    },
  };
}

/** Prepares a request, and returns the function that sends it. */
function request(
  method: string,
  path: string,
  init: StreamInit,
  lastEventId: string,
  signal: AbortSignal,
): () => Promise<Response> {
  const { baseUrl = "", params = {}, query = {}, json, body = null, fetch: send } = init;
  const headers = new Headers(init.headers);
  const setDefault = (name: string, value: string): void => {
    if (!headers.has(name)) headers.set(name, value);
  };
  setDefault("accept", "text/event-stream");
  if (json !== undefined) setDefault("content-type", "application/json");
  const id = headerOf(lastEventId);
  if (id) headers.set("last-event-id", id);
  const search = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat()) if (value != null) search.append(name, `${value}`);
  }
  const url =
    baseUrl.replace(/\/$/, "") +
    path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(`${params[name]}`)) +
    (`${search}` && (path.includes("?") ? "&" : "?") + search);
  const options: RequestInit = {
    cache: "no-store",
    ...(init as RequestInit),
    method,
    headers,
    signal,
    body: json === undefined ? body : JSON.stringify(json),
  };
  if (send) return () => send(url, options);
  const prepared = new Request(url, options);
  return () => fetch(prepared);
}

/** Returns an id as a header has it: bytes of UTF-8, as an EventSource sends them. Or "" if it can't. */
function headerOf(id: string): string {
  const bytes = Array.from(new TextEncoder().encode(id), (byte) => String.fromCharCode(byte)).join("");
  return /^[\t -~\x80-\xff]+$/.test(bytes) ? bytes : "";
}

function isStream(response: Response): boolean {
  const type = response.headers.get("content-type") ?? "";
  return response.status === 200 && /^text\/event-stream\s*(;|$)/i.test(type);
}

/** Returns how an attempt has ended that has not failed. What has a last event ends with that. */
function outcomeOf(response: Response | undefined, hasLast: boolean): Failure {
  const isOpen = response && isStream(response);
  const outcome = isOpen
    ? hasLast
      ? "unfinished"
      : "ended"
    : /^(408|425|429|50[0234])$/.test(`${response?.status}`)
      ? "busy"
      : "refused";
  const message = isOpen
    ? `The stream has ended${hasLast ? " without its last event" : ""}`
    : `The server answered with ${response?.status}, not a stream`;
  return { outcome, error: new StreamError(message, response) };
}

/** Returns the milliseconds that a response asks to wait, or 0. */
function retryAfter(response: Response | undefined): number {
  const value = response?.headers.get("retry-after") ?? "";
  const now = Date.parse(response?.headers.get("date") ?? "") || Date.now();
  const delay = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
  return Math.max(delay, 0) || 0;
}

/** Returns the milliseconds before an attempt. The first one is number 0. */
function backoff(attempt: number, retryDelay: number, maxRetryDelay: number): number {
  // A server may ask for no delay, but not for attempts that fail without end and without delay.
  const doubled = (retryDelay || (attempt && 500)) * 2 ** attempt;
  const limited = Math.min(doubled, Math.max(retryDelay, maxRetryDelay));
  return Math.round(limited * (1 - Math.random() / 4)); // so that clients come back one by one
}

/** Waits. It ends earlier if the function that `oninterrupt` gets is called, or back online. */
function pause(
  delay: number,
  untilOnline: boolean,
  oninterrupt: (end: () => void) => void,
): Promise<void> {
  const browser = globalThis as Partial<EventTarget>; // nothing else tells that it is online
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      browser.removeEventListener?.("online", end);
      resolve();
    };
    const timer = setTimeout(end, delay);
    if (untilOnline) browser.addEventListener?.("online", end);
    oninterrupt(end);
  });
}

function parsed(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

interface Block {
  event: string;
  /** The data. Undefined if the block only has an id. */
  raw: string | undefined;
  id: string;
}

/** Reads text/event-stream: WHATWG HTML, 9.2.6. Returns a function from a chunk to what it ends. */
function parser(
  lastEventId: string,
  onretry: (milliseconds: number) => void,
): (chunk: Uint8Array) => Block[] {
  const decoder = new TextDecoder();
  let isAfterCR = false;
  let line = "";
  let event = "";
  let data = "";
  let id: string | undefined;

  const dispatch = (): Block[] => {
    lastEventId = id ?? lastEventId;
    const raw = data ? data.slice(0, -1) : undefined;
    const block = { event: event || "message", raw, id: lastEventId };
    const isEmpty = raw === undefined && id === undefined;
    event = data = "";
    id = undefined;
    return isEmpty ? [] : [block];
  };

  const interpret = (): void => {
    const [, field, value = ""] = /^([^:]*):? ?(.*)/s.exec(line) ?? [];
    if (field === "data") data += value + "\n";
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) onretry(Number(value));
  };

  return (chunk) => {
    const text = decoder.decode(chunk, { stream: true });
    const isRestOfCRLF = isAfterCR && text[0] === "\n";
    if (text) isAfterCR = text.endsWith("\r"); // which ends its line at once
    const pieces = text.slice(Number(isRestOfCRLF)).split(/\r\n?|\n/);
    const rest = pieces.pop();
    const blocks = [];
    for (const piece of pieces) {
      line += piece;
      if (line) interpret();
      else blocks.push(...dispatch());
      line = "";
    }
    line += rest;
    return blocks;
  };
}
