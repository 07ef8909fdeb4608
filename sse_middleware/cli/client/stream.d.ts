/** An event of a stream. With its `id` as `lastEventId`, another stream goes on after it. */
export type StreamEvent<Events> = {
    [Name in keyof Events & string]: {
        event: Name;
        data: Events[Name];
        id: string;
    };
}[keyof Events & string];
/** A value in a query. An array is sent as several parameters of one name. */
export type QueryValue = string | number | boolean | null | undefined;
/** Options of `stream`. `signal`, `headers`, `credentials` and others are those of `fetch`. */
export interface StreamInit extends Omit<RequestInit, "body" | "method"> {
    /** What comes before the path. A page needs none for the server that it comes from. */
    baseUrl?: string | undefined;
    /** The values of the path's parameters. */
    params?: {
        [name: string]: string | number | boolean;
    } | undefined;
    /** The parameters of the query. `undefined` and `null` are left out. */
    query?: {
        [name: string]: QueryValue | readonly QueryValue[];
    } | undefined;
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
    end?: ((event: {
        event: string;
        raw: string;
    }) => boolean) | undefined;
    /** Called each time the stream opens. */
    onopen?: ((response: Response) => void) | undefined;
    /** Called before each wait: why, for how many milliseconds, and which attempt comes next. */
    onwait?: ((info: {
        error: unknown;
        delay: number;
        attempt: number;
    }) => void) | undefined;
}
/** The arguments of `stream` after the path. They may be missing if no option is required. */
export type StreamArguments<Own> = {} extends Own ? [init?: Omit<StreamInit, "params" | "query" | "json" | "body"> & Own] : [init: Omit<StreamInit, "params" | "query" | "json" | "body"> & Own];
/** Says why a stream could not go on. `cause` is the error of `fetch`, if there is one. */
export declare class StreamError extends Error {
    /** The last response. If it is not a stream, its body can still be read. */
    readonly response: Response | undefined;
    constructor(message: string, response?: Response, cause?: unknown);
}
/**
 * Opens a stream, and opens it again where it broke off: `for await (const event of stream("/path"))`.
 *
 * The loop ends with the stream, or when `signal` is aborted. `break` closes the connection at once.
 * Data that is not JSON is passed as a string.
 */
export declare function stream<Events>(url: URL, init?: StreamInit): AsyncGenerator<StreamEvent<Events>, void, undefined>;
export declare function stream<Path extends keyof Streams & keyof Requests>(path: Path, ...init: StreamArguments<Requests[Path]>): AsyncGenerator<StreamEvent<Streams[Path]>, void, undefined>;
