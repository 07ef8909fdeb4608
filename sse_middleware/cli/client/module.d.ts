// What each file of this folder finds in the written module, besides its own names.
interface Streams {}
interface Requests {}
declare const routes: {
  readonly [path: string]: {
    /** Milliseconds of three keep-alives. */
    readonly idle?: number;
    /** The name and the data of the last event. */
    readonly end?: readonly [string, string];
  };
};
/** Returns the value of JSON, or the text itself if it is none. */
declare function parsed(raw: string): unknown;
