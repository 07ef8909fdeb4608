/** An event of a stream. `id` is the last event id: pass it as `lastEventId` to go on after the event. */
export type StreamEvent<Events> = {
    [Name in keyof Events & string]: {
        event: Name;
        data: Events[Name];
        id: string;
    };
}[keyof Events & string];
/** A value of a query. An array is sent as several parameters of one name. */
export type QueryValue = string | number | boolean | null | undefined;
/** Options of `stream`. `signal`, `headers`, `credentials` and others are those of `fetch`. */
export interface StreamInit extends Omit<RequestInit, "body" | "method"> {
    /** Comes before the path. A browser needs none for its own server. */
    baseUrl?: string | undefined;
    /** The values of the path's parameters. */
    params?: {
        [name: string]: string | number | boolean;
    } | undefined;
    query?: {
        [name: string]: QueryValue | readonly QueryValue[];
    } | undefined;
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
    end?: ((event: {
        event: string;
        raw: string;
    }) => boolean) | undefined;
    /** Called when a stream is open, also after it was reconnected. */
    onopen?: ((response: Response) => void) | undefined;
    /** Called before each wait, with its milliseconds, and the number of the attempt after it. */
    onwait?: ((info: {
        error: unknown;
        delay: number;
        attempt: number;
    }) => void) | undefined;
}
/** A stream that can't be opened, or not again. `cause` is the error of the network, if there is one. */
export declare class StreamError extends Error {
    /** The last response, if there is one. Its body can be read if it is not a stream. */
    readonly response: Response | undefined;
    constructor(message: string, response?: Response, cause?: unknown);
}
/** What a request takes of which only the path is known. */
export type OpenRequest = Pick<StreamInit, "query" | "json" | "body">;
/** Arguments of `stream`: the options may be left out if the request needs none of them. */
export type StreamArguments<Request> = {} extends Request ? [init?: Omit<StreamInit, "params" | "query" | "json" | "body"> & Request] : [init: Omit<StreamInit, "params" | "query" | "json" | "body"> & Request];
/**
 * Opens a stream, and opens it again where it broke off, until the loop over it ends.
 *
 * `for await (const { event, data } of stream("/path")) ...` A `break`, or the `signal`, closes the
 * connection at once. Data that is not JSON is a string.
 */
export declare function stream<Path extends keyof Streams & keyof Requests>(path: Path, ...init: StreamArguments<Requests[Path]>): AsyncGenerator<StreamEvent<Streams[Path]>, void, undefined>;
export declare function stream<Events>(url: URL, init?: StreamInit): AsyncGenerator<StreamEvent<Events>, void, undefined>;
