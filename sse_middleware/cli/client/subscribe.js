/** An EventSource that knows the names of its events and the types of their data. */
export class TypedEventSource {
    source;
    constructor(url, init) {
        this.source = new EventSource(url, init);
    }
    /** Calls `handler` for each event of that name, until the returned function is called. */
    addEventListener(name, handler) {
        const listener = (event) => {
            // A connection that fails is an "error" without data.
            if (typeof event.data === "string")
                handler(parsed(event.data), event);
        };
        this.source.addEventListener(name, listener);
        return () => this.source.removeEventListener(name, listener);
    }
    close() {
        this.source.close();
    }
}
/** Opens a stream: `subscribe<Streams["/path"]>("/path", { name: (data) => ... })`. */
export function subscribe(url, handlers, init) {
    const source = new TypedEventSource(url, init);
    for (const name of Object.keys(handlers)) {
        const handler = handlers[name];
        if (handler)
            source.addEventListener(name, handler);
    }
    return source;
}
