// What is written for each application, as the compiler must know it to compile the rest.
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
