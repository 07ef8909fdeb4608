/** A handler for each name of an event. It is called with the data and with the event. */
export type Handlers<Events> = {
  [Name in keyof Events]?: (data: Events[Name], event: MessageEvent<string>) => void;
};

/** An EventSource that knows the names of its events and the types of their data. */
export class TypedEventSource<Events> {
  readonly source: EventSource;

  constructor(url: string | URL, init?: EventSourceInit) {
    this.source = new EventSource(url, init);
  }

  /** Calls `handler` for each event of that name, until the returned function is called. */
  addEventListener<Name extends keyof Events & string>(
    name: Name,
    handler: (data: Events[Name], event: MessageEvent<string>) => void,
  ): () => void {
    const listener = (event: MessageEvent): void => {
      // A connection that fails is an "error" without data.
      if (typeof event.data === "string") handler(parsed(event.data) as Events[Name], event);
    };
    this.source.addEventListener(name, listener);
    return () => this.source.removeEventListener(name, listener);
  }

  close(): void {
    this.source.close();
  }
}

/** Opens a stream: `subscribe<Streams["/path"]>("/path", { name: (data) => ... })`. */
export function subscribe<Events>(
  url: string | URL,
  handlers: Handlers<Events>,
  init?: EventSourceInit,
): TypedEventSource<Events> {
  const source = new TypedEventSource<Events>(url, init);
  for (const name of Object.keys(handlers) as (keyof Events & string)[]) {
    const handler = handlers[name];
    if (handler) source.addEventListener(name, handler);
  }
  return source;
}
