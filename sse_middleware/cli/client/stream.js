/** A stream that can't be opened, or not again. `cause` is the error of the network, if there is one. */
export class StreamError extends Error {
    /** The last response, if there is one. Its body can be read if it is not a stream. */
    response;
    constructor(message, response, cause) {
        super(message, { cause });
        this.name = "StreamError";
        this.response = response;
    }
}
export function stream(target, init = {}) {
    let closed = false;
    let interrupt = nothing;
    const close = () => {
        closed = true;
        interrupt();
    };
    async function* events() {
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
                let response;
                let reader;
                let error;
                let isSilent = false;
                interrupt = () => {
                    connection.abort();
                    (reader ?? response?.body)?.cancel().catch(nothing);
                };
                const inTime = async (pending) => {
                    const silence = () => {
                        isSilent = true;
                        interrupt();
                    };
                    const timer = idleTimeout && setTimeout(silence, Math.min(idleTimeout, LONGEST_DELAY));
                    try {
                        return await pending;
                    }
                    catch (cause) {
                        error = new StreamError("The connection was lost.", response, cause);
                    }
                    finally {
                        clearTimeout(timer);
                    }
                    return undefined;
                };
                // What can't be sent at all is thrown here: it is no error of the network.
                const send = request(method, path, init, lastEventId, connection.signal);
                response = await inTime(send());
                if (closed)
                    return;
                let isOpen = false;
                if (response) {
                    if (response.status === 204)
                        return;
                    isOpen = response.status === 200 && /^text\/event-stream *(;|$)/i.test(response.headers.get("content-type") ?? "");
                    if (isOpen) {
                        init.onopen?.(response);
                        const parse = parser(lastEventId, (milliseconds) => (retry = milliseconds));
                        reader = response.body?.getReader();
                        for (;;) {
                            const chunk = reader && (await inTime(reader.read()));
                            if (closed)
                                return;
                            if (!chunk?.value)
                                break;
                            for (const { event, raw, id } of parse(chunk.value)) {
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
                    else {
                        const { status } = response;
                        error = new StreamError(`The server answered with ${status}, and not with a stream.`, response);
                        if (!/^(408|425|429|50[0234])$/.test(`${status}`)) {
                            interrupt = nothing; // its body can be read
                            throw error;
                        }
                    }
                }
                if (isSilent)
                    error = new StreamError("The server was silent for too long.", response);
                if (isOpen && !error && mode !== "always")
                    return;
                const isLost = (isOpen || isSilent) && error;
                error ??= new StreamError("The stream has ended.", response);
                if (mode === "never" ||
                    attempt >= (init.maxRetries ?? Infinity) ||
                    (isLost && method !== "GET" && !lastEventId)) {
                    interrupt = nothing;
                    throw error;
                }
                interrupt();
                const backoff = Math.min(Math.max(retry, attempt && 500) * 2 ** attempt, Math.max(maxRetryDelay, retry));
                attempt += 1;
                const told = retryAfter(response);
                const delay = Math.min(told || backoff * (1 - Math.random() / 4), LONGEST_DELAY);
                init.onwait?.({ error, delay, attempt });
                await new Promise((resolve) => {
                    const timer = setTimeout(resolve, delay);
                    interrupt = () => {
                        clearTimeout(timer);
                        resolve();
                    };
                    if (closed)
                        interrupt();
                    if (!told)
                        online.addEventListener?.("online", interrupt);
                });
                online.removeEventListener?.("online", interrupt);
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
        close(); // a pending `next` ends now, and not with the next event
        return finish(value);
    };
    return generator;
}
const nothing = () => { };
const LONGEST_DELAY = 2 ** 31 - 1; // of setTimeout, 24 days
const online = globalThis;
/** Prepares the request of one attempt, and returns the function that sends it. */
function request(method, path, init, lastEventId, signal) {
    const { baseUrl = "", params = {}, query = {}, json, body } = init;
    const headers = new Headers(init.headers);
    const setDefault = (name, value) => {
        if (!headers.has(name))
            headers.set(name, value);
    };
    setDefault("accept", "text/event-stream");
    if (json !== undefined)
        setDefault("content-type", "application/json");
    // A header has bytes: those of UTF-8, as an EventSource sends them.
    const bytes = new TextEncoder().encode(lastEventId);
    if (lastEventId)
        headers.set("last-event-id", String.fromCharCode(...bytes));
    const search = new URLSearchParams();
    for (const [name, values] of Object.entries(query)) {
        for (const value of [values].flat())
            if (value != null)
                search.append(name, `${value}`);
    }
    const url = baseUrl.replace(/\/$/, "") +
        path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(`${params[name]}`)) +
        (`${search}` && (path.includes("?") ? "&" : "?") + search);
    const options = { cache: "no-store", ...init, method, headers, signal };
    if (json !== undefined)
        options.body = JSON.stringify(json);
    else if (body !== undefined)
        options.body = body;
    const own = init.fetch;
    if (own)
        return () => own(url, options);
    const prepared = new Request(url, options);
    return () => fetch(prepared);
}
/** Returns the milliseconds that a response asks to wait, 0 or NaN if it asks for none. */
function retryAfter(response) {
    const after = response?.headers.get("retry-after") ?? "";
    if (/^\d+$/.test(after))
        return Number(after) * 1000;
    const now = Date.parse(response?.headers.get("date") ?? "") || Date.now();
    return Math.max(0, Date.parse(after) - now);
}
function parsed(raw) {
    try {
        return JSON.parse(raw);
    }
    catch {
        return raw;
    }
}
/** Reads text/event-stream, by the WHATWG HTML standard, 9.2.6. `raw` is undefined for a block with only an id. */
function parser(lastEventId, onretry) {
    const decoder = new TextDecoder();
    let line = "";
    let isAfterCR = false;
    let event = "";
    let data = "";
    let id;
    return (chunk) => {
        let text = decoder.decode(chunk, { stream: true });
        if (!text)
            return [];
        if (isAfterCR && text[0] === "\n")
            text = text.slice(1);
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
            }
            else if (field === "data")
                data += value + "\n";
            else if (field === "event")
                event = value;
            else if (field === "id" && !value.includes("\0"))
                id = value;
            else if (field === "retry" && /^\d+$/.test(value))
                onretry(Number(value));
            line = "";
        }
        line += rest;
        return blocks;
    };
}
