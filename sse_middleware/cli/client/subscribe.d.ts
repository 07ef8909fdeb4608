/** A handler for each name of an event. It is called with the data and with the event. */
export type Handlers<Events> = {
    [Name in keyof Events]?: (data: Events[Name], event: MessageEvent<string>) => void;
};
/** An EventSource that knows the names of its events and the types of their data. */
export declare class TypedEventSource<Events> {
    readonly source: EventSource;
    constructor(url: string | URL, init?: EventSourceInit);
    /** Calls `handler` for each event of that name, until the returned function is called. */
    addEventListener<Name extends keyof Events & string>(name: Name, handler: (data: Events[Name], event: MessageEvent<string>) => void): () => void;
    close(): void;
}
/** Opens a stream: `subscribe<Streams["/path"]>("/path", { name: (data) => ... })`. */
export declare function subscribe<Events>(url: string | URL, handlers: Handlers<Events>, init?: EventSourceInit): TypedEventSource<Events>;
