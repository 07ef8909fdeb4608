/** Says why a stream could not go on. `cause` is the error of `fetch`, if there is one. */
export class StreamError extends Error {
    /** The last response. If it is not a stream, its body can still be read. */
    response;
    constructor(message, response, cause) {
        super(message, { cause });
        this.name = "StreamError";
        this.response = response;
    }
}
export function stream(target, init = {}) {
    let closed = false;
    let interrupt = nothing; // ends what is waited for
    const close = () => {
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
                if (closed || response?.status === 204)
                    return;
                if (response && isStream(response)) {
                    init.onopen?.(response);
                    const parse = parser(lastEventId, (milliseconds) => (retryDelay = milliseconds));
                    for (let chunk; (chunk = await connection.read());) {
                        for (const { event, raw, id } of parse(chunk)) {
                            attempt = 0;
                            lastEventId = id;
                            if (raw === undefined)
                                continue;
                            if (isLast({ event, raw }))
                                return;
                            yield { event, data: parsed(raw), id };
                            if (closed)
                                return;
                        }
                    }
                }
                const { outcome, error } = connection.failure() ?? outcomeOf(response, !!(init.end ?? end));
                if (closed || (outcome === "ended" && reconnect !== "always"))
                    return;
                if (outcome === "refused" ||
                    (outcome === "unfinished" && reconnect !== "always") ||
                    (outcome === "lost" && method !== "GET" && !headerOf(lastEventId)) ||
                    reconnect === "never" ||
                    attempt >= maxRetries) {
                    interrupt = nothing; // the body of the response can be read
                    throw error;
                }
                interrupt();
                const asked = retryAfter(response);
                const delay = Math.min(asked || backoff(attempt, retryDelay, maxRetryDelay), LONGEST);
                attempt += 1;
                init.onwait?.({ error, delay, attempt });
                if (!closed)
                    await pause(delay, !asked, (end) => (interrupt = end));
            }
        }
        finally {
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
const nothing = () => { };
const LONGEST = 2 ** 31 - 1; // milliseconds of a timer, 24 days
/** Makes one attempt: sends a request, and reads the response when it is asked to. */
function connect(controller, send, idleTimeout) {
    let response;
    let reader;
    let failure;
    let settle = nothing;
    const close = () => {
        controller.abort();
        (reader ?? response?.body)?.cancel().catch(nothing);
        settle();
    };
    const fail = (outcome, message, cause) => {
        failure ??= { outcome, error: new StreamError(message, response, cause) };
        close();
    };
    /** Returns a result, or undefined when the connection fails, is closed, or is silent too long. */
    const inTime = (pending) => new Promise((resolve) => {
        const silent = () => fail("lost", "The server was silent for too long");
        const timer = idleTimeout && setTimeout(silent, Math.min(idleTimeout, LONGEST));
        const done = (result) => {
            clearTimeout(timer);
            resolve(result);
        };
        settle = done;
        pending.then(done, (cause) => fail(response ? "lost" : "unreachable", "The connection was lost", cause));
    });
    return {
        close,
        failure: () => failure,
        open: () => inTime(send().then((head) => {
            response = head;
            if (controller.signal.aborted)
                close(); // it came too late
            return head;
        })),
        read: async () => {
            reader ??= response?.body?.getReader();
            return reader && (await inTime(reader.read()))?.value;
        },
    };
}
/** Prepares a request, and returns the function that sends it. */
function request(method, path, init, lastEventId, signal) {
    const { baseUrl = "", params = {}, query = {}, json, body = null, fetch: send } = init;
    const headers = new Headers(init.headers);
    const setDefault = (name, value) => {
        if (!headers.has(name))
            headers.set(name, value);
    };
    setDefault("accept", "text/event-stream");
    if (json !== undefined)
        setDefault("content-type", "application/json");
    const id = headerOf(lastEventId);
    if (id)
        headers.set("last-event-id", id);
    const search = new URLSearchParams();
    for (const [name, values] of Object.entries(query)) {
        for (const value of [values].flat())
            if (value != null)
                search.append(name, `${value}`);
    }
    const url = baseUrl.replace(/\/$/, "") +
        path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(`${params[name]}`)) +
        (`${search}` && (path.includes("?") ? "&" : "?") + search);
    const options = {
        cache: "no-store",
        ...init,
        method,
        headers,
        signal,
        body: json === undefined ? body : JSON.stringify(json),
    };
    if (send)
        return () => send(url, options);
    const prepared = new Request(url, options);
    return () => fetch(prepared);
}
/** Returns an id as a header has it: bytes of UTF-8, as an EventSource sends them. Or "" if it can't. */
function headerOf(id) {
    const bytes = Array.from(new TextEncoder().encode(id), (byte) => String.fromCharCode(byte)).join("");
    return /^[\t -~\x80-\xff]+$/.test(bytes) ? bytes : "";
}
function isStream(response) {
    const type = response.headers.get("content-type") ?? "";
    return response.status === 200 && /^text\/event-stream\s*(;|$)/i.test(type);
}
/** Returns how an attempt has ended that has not failed. What has a last event ends with that. */
function outcomeOf(response, hasLast) {
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
function retryAfter(response) {
    const value = response?.headers.get("retry-after") ?? "";
    const now = Date.parse(response?.headers.get("date") ?? "") || Date.now();
    const delay = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now;
    return Math.max(delay, 0) || 0;
}
/** Returns the milliseconds before an attempt. The first one is number 0. */
function backoff(attempt, retryDelay, maxRetryDelay) {
    // A server may ask for no delay, but not for attempts that fail without end and without delay.
    const doubled = (retryDelay || (attempt && 500)) * 2 ** attempt;
    const limited = Math.min(doubled, Math.max(retryDelay, maxRetryDelay));
    return Math.round(limited * (1 - Math.random() / 4)); // so that clients come back one by one
}
/** Waits. It ends earlier if the function that `oninterrupt` gets is called, or back online. */
function pause(delay, untilOnline, oninterrupt) {
    const browser = globalThis; // nothing else tells that it is online
    return new Promise((resolve) => {
        const end = () => {
            clearTimeout(timer);
            browser.removeEventListener?.("online", end);
            resolve();
        };
        const timer = setTimeout(end, delay);
        if (untilOnline)
            browser.addEventListener?.("online", end);
        oninterrupt(end);
    });
}
function parsed(raw) {
    try {
        return JSON.parse(raw);
    }
    catch {
        return raw;
    }
}
/** Reads text/event-stream: WHATWG HTML, 9.2.6. Returns a function from a chunk to what it ends. */
function parser(lastEventId, onretry) {
    const decoder = new TextDecoder();
    let isAfterCR = false;
    let line = "";
    let event = "";
    let data = "";
    let id;
    const dispatch = () => {
        lastEventId = id ?? lastEventId;
        const raw = data ? data.slice(0, -1) : undefined;
        const block = { event: event || "message", raw, id: lastEventId };
        const isEmpty = raw === undefined && id === undefined;
        event = data = "";
        id = undefined;
        return isEmpty ? [] : [block];
    };
    const interpret = () => {
        const [, field, value = ""] = /^([^:]*):? ?(.*)/s.exec(line) ?? [];
        if (field === "data")
            data += value + "\n";
        else if (field === "event")
            event = value;
        else if (field === "id" && !value.includes("\0"))
            id = value;
        else if (field === "retry" && /^\d+$/.test(value))
            onretry(Number(value));
    };
    return (chunk) => {
        const text = decoder.decode(chunk, { stream: true });
        const isRestOfCRLF = isAfterCR && text[0] === "\n";
        if (text)
            isAfterCR = text.endsWith("\r"); // which ends its line at once
        const pieces = text.slice(Number(isRestOfCRLF)).split(/\r\n?|\n/);
        const rest = pieces.pop();
        const blocks = [];
        for (const piece of pieces) {
            line += piece;
            if (line)
                interpret();
            else
                blocks.push(...dispatch());
            line = "";
        }
        line += rest;
        return blocks;
    };
}
