/** An event of a stream. `id` is the last event id: pass it as `lastEventId` to go on after the event. */
export type StreamEvent<Events> = {
  [Name in keyof Events & string]: { event: Name; data: Events[Name]; id: string };
}[keyof Events & string];

/** A value of a query. An array is sent as several parameters of one name. */
export type QueryValue = string | number | boolean | null | undefined;

/** Options of `stream`. `signal`, `headers`, `credentials` and others are those of `fetch`. */
export interface StreamInit extends Omit<RequestInit, "body" | "method"> {
  /** Comes before the path. A browser needs none for its own server. */
  baseUrl?: string | undefined;
  /** The values of the path's parameters. */
  params?: { [name: string]: string | number | boolean } | undefined;
  query?: { [name: string]: QueryValue | readonly QueryValue[] } | undefined;
  /** The body, as JSON. */
  json?: unknown;
  body?: BodyInit | undefined;
  fetch?: typeof fetch | undefined;
  /** The id of the last event that an earlier `stream` had. */
  lastEventId?: string | undefined;
  /** "always" is the default of GET: a stream that ends is opened again. "on-error" is that of others. */
  reconnect?: "always" | "on-error" | "never" | undefined;
  /** Attempts one after the other without an event. No limit is the default. */
  maxRetries?: number | undefined;
  /** Milliseconds before the first attempt to reconnect: 3000, unless the server sends `retry`. */
  retryDelay?: number | undefined;
  /** Milliseconds that doubling does not pass: 30000. */
  maxRetryDelay?: number | undefined;
  /** Milliseconds of silence after which a connection counts as lost. 0 switches this off. */
  idleTimeout?: number | undefined;
  /** Whether an event is the last one. The loop ends, and does not get the event. */
  end?: ((event: { event: string; raw: string }) => boolean) | undefined;
  /** Called when a stream is open, also after it was reconnected. */
  onopen?: ((response: Response) => void) | undefined;
  /** Called before each wait, with its milliseconds, and the number of the attempt after it. */
  onwait?: ((info: { error: unknown; delay: number; attempt: number }) => void) | undefined;
}

/** A stream that can't be opened, or not again. `cause` is the error of the network, if there is one. */
export class StreamError extends Error {
  /** The last response, if there is one. Its body can be read if it is not a stream. */
  readonly response: Response | undefined;

  constructor(message: string, response?: Response, cause?: unknown) {
    super(message, { cause });
    this.name = "StreamError";
    this.response = response;
  }
}

/** What a request takes of which only the path is known. */
export type OpenRequest = Pick<StreamInit, "query" | "json" | "body">;

/** Arguments of `stream`: the options may be left out if the request needs none of them. */
export type StreamArguments<Request> = {} extends Request
  ? [init?: Omit<StreamInit, "params" | "query" | "json" | "body"> & Request]
  : [init: Omit<StreamInit, "params" | "query" | "json" | "body"> & Request];

/**
 * Opens a stream, and opens it again where it broke off, until the loop over it ends.
 *
 * `for await (const { event, data } of stream("/path")) ...` A `break`, or the `signal`, closes the
 * connection at once. Data that is not JSON is a string.
 */
export function stream<Path extends keyof Streams & keyof Requests>(
  path: Path,
  ...init: StreamArguments<Requests[Path]>
): AsyncGenerator<StreamEvent<Streams[Path]>, void, undefined>;
export function stream<Events>(
  url: URL,
  init?: StreamInit,
): AsyncGenerator<StreamEvent<Events>, void, undefined>;
export function stream(
  target: string | URL,
  init: StreamInit = {},
): AsyncGenerator<StreamEvent<Record<string, unknown>>, void, undefined> {
  let closed = false;
  let interrupt = nothing;
  const close = (): void => {
    closed = true;
    interrupt();
  };

  async function* events(): AsyncGenerator<StreamEvent<Record<string, unknown>>, void, undefined> {
    const route = routes[`${target}`] ?? {};
    const { signal, maxRetryDelay = 30_000, idleTimeout = route.idle } = init;
    const [, method = "GET", path = ""] = /^(?:([A-Z]+) )?(.*)/s.exec(`${target}`) ?? [];
    const mode = init.reconnect ?? (method === "GET" ? "always" : "on-error");
    const isLast = init.end ?? (({ event, raw }) => event === route.end?.[0] && raw === route.end[1]);
    let retry = init.retryDelay ?? 3000;
    let lastEventId = init.lastEventId ?? "";
    let attempt = 0;
    closed = closed || !!signal?.aborted;
    signal?.addEventListener("abort", close);
    try {
      while (!closed) {
        const connection = new AbortController();
        let response: Response | undefined;
        let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
        let error: StreamError | undefined;
        let isSilent = false;
        interrupt = (): void => {
          connection.abort();
          (reader ?? response?.body)?.cancel().catch(nothing);
        };
        const inTime = async <T>(pending: Promise<T>): Promise<T | undefined> => {
          const silence = (): void => {
            isSilent = true;
            interrupt();
          };
          const timer = idleTimeout && setTimeout(silence, Math.min(idleTimeout, LONGEST_DELAY));
          try {
            return await pending;
          } catch (cause) {
            error = new StreamError("The connection was lost.", response, cause);
          } finally {
            clearTimeout(timer);
          }
          return undefined;
        };
        // What can't be sent at all is thrown here: it is no error of the network.
        const send = request(method, path, init, lastEventId, connection.signal);
        response = await inTime(send());
        if (closed) return;
        let isOpen = false;
        if (response) {
          if (response.status === 204) return;
          isOpen = response.status === 200 && /^text\/event-stream *(;|$)/i.test(response.headers.get("content-type") ?? "");
          if (isOpen) {
            init.onopen?.(response);
            const parse = parser(lastEventId, (milliseconds) => (retry = milliseconds));
            reader = response.body?.getReader();
            for (;;) {
              const chunk = reader && (await inTime(reader.read()));
              if (closed) return;
              if (!chunk?.value) break;
              for (const { event, raw, id } of parse(chunk.value)) {
                attempt = 0;
                lastEventId = id;
                if (raw === undefined) continue;
                if (isLast({ event, raw })) return;
                yield { event, data: parsed(raw), id };
                if (closed) return;
              }
            }
          } else {
            const { status } = response;
            error = new StreamError(`The server answered with ${status}, and not with a stream.`, response);
            if (!/^(408|425|429|50[0234])$/.test(`${status}`)) {
              interrupt = nothing; // its body can be read
              throw error;
            }
          }
        }
        if (isSilent) error = new StreamError("The server was silent for too long.", response);
        if (isOpen && !error && mode !== "always") return;
        const isLost = (isOpen || isSilent) && error;
        error ??= new StreamError("The stream has ended.", response);
        if (
          mode === "never" ||
          attempt >= (init.maxRetries ?? Infinity) ||
          (isLost && method !== "GET" && !lastEventId)
        ) {
          interrupt = nothing;
          throw error;
        }
        interrupt();
        const backoff = Math.min(
          Math.max(retry, attempt && 500) * 2 ** attempt,
          Math.max(maxRetryDelay, retry),
        );
        attempt += 1;
        const told = retryAfter(response);
        const delay = Math.min(told || backoff * (1 - Math.random() / 4), LONGEST_DELAY);
        init.onwait?.({ error, delay, attempt });
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, delay);
          interrupt = (): void => {
            clearTimeout(timer);
            resolve();
          };
          if (closed) interrupt();
          if (!told) online.addEventListener?.("online", interrupt);
        });
        online.removeEventListener?.("online", interrupt);
      }
    } finally {
      signal?.removeEventListener("abort", close);
      interrupt();
    }
  }

  const generator = events();
  const finish = generator.return.bind(generator);
  generator.return = (value) => {
    close(); // a pending `next` ends now, and not with the next event
    return finish(value);
  };
  return generator;
}

const nothing = (): void => {};

const LONGEST_DELAY = 2 ** 31 - 1; // of setTimeout, 24 days

const online = globalThis as Partial<EventTarget>;

/** Prepares the request of one attempt, and returns the function that sends it. */
function request(
  method: string,
  path: string,
  init: StreamInit,
  lastEventId: string,
  signal: AbortSignal,
): () => Promise<Response> {
  const { baseUrl = "", params = {}, query = {}, json, body } = init;
  const headers = new Headers(init.headers);
  const setDefault = (name: string, value: string): void => {
    if (!headers.has(name)) headers.set(name, value);
  };
  setDefault("accept", "text/event-stream");
  if (json !== undefined) setDefault("content-type", "application/json");
  // A header has bytes: those of UTF-8, as an EventSource sends them.
  const bytes = new TextEncoder().encode(lastEventId);
  if (lastEventId) headers.set("last-event-id", String.fromCharCode(...bytes));
  const search = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) {
    for (const value of [values].flat()) if (value != null) search.append(name, `${value}`);
  }
  const url =
    baseUrl.replace(/\/$/, "") +
    path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(`${params[name]}`)) +
    (`${search}` && (path.includes("?") ? "&" : "?") + search);
  const options: RequestInit = { cache: "no-store", ...(init as RequestInit), method, headers, signal };
  if (json !== undefined) options.body = JSON.stringify(json);
  else if (body !== undefined) options.body = body;
  const own = init.fetch;
  if (own) return () => own(url, options);
  const prepared = new Request(url, options);
  return () => fetch(prepared);
}

/** Returns the milliseconds that a response asks to wait, 0 or NaN if it asks for none. */
function retryAfter(response: Response | undefined): number {
  const after = response?.headers.get("retry-after") ?? "";
  if (/^\d+$/.test(after)) return Number(after) * 1000;
  const now = Date.parse(response?.headers.get("date") ?? "") || Date.now();
  return Math.max(0, Date.parse(after) - now);
}

function parsed(raw: string): unknown {
  try {
    return JSON.parse(raw);
  } catch {
    return raw;
  }
}

/** Reads text/event-stream, by the WHATWG HTML standard, 9.2.6. `raw` is undefined for a block with only an id. */
function parser(
  lastEventId: string,
  onretry: (milliseconds: number) => void,
): (chunk: Uint8Array) => { event: string; raw: string | undefined; id: string }[] {
  const decoder = new TextDecoder();
  let line = "";
  let isAfterCR = false;
  let event = "";
  let data = "";
  let id: string | undefined;
  return (chunk) => {
    let text = decoder.decode(chunk, { stream: true });
    if (!text) return [];
    if (isAfterCR && text[0] === "\n") text = text.slice(1);
    isAfterCR = text ? text.endsWith("\r") : false;
    const lines = text.split(/\r\n?|\n/);
    const blocks = [];
    const rest = lines.pop() ?? "";
    for (const piece of lines) {
      line += piece;
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
      if (!line) {
        lastEventId = id ?? lastEventId;
        if (data || id !== undefined) {
          blocks.push({ event: event || "message", raw: data ? data.slice(0, -1) : undefined, id: lastEventId });
        }
        event = data = "";
        id = undefined;
      } else if (field === "data") data += value + "\n";
      else if (field === "event") event = value;
      else if (field === "id" && !value.includes("\0")) id = value;
      else if (field === "retry" && /^\d+$/.test(value)) onretry(Number(value));
      line = "";
    }
    line += rest;
    return blocks;
  };
}
