// A hook for React. In a component:
//   const error = useStream((signal) => stream("/path", { signal }), (event) => ..., []);
// It returns the error with which the stream ended, if there was one.
import { useEffect, useRef, useState, type DependencyList } from "react";

export function useStream<Event>(
  open: (signal: AbortSignal) => AsyncIterable<Event>,
  onEvent: (event: Event) => void,
  dependencies: DependencyList,
): unknown {
  const [error, setError] = useState<unknown>();
  const latest = useRef(onEvent);
  useEffect(() => void (latest.current = onEvent));
  useEffect(() => {
    const aborter = new AbortController(); // also for the second effect of React's strict mode
    const read = async (): Promise<void> => {
      for await (const event of open(aborter.signal)) latest.current(event);
    };
    setError(undefined);
    read().catch((reason: unknown) => setError(reason));
    return () => aborter.abort();
  }, dependencies);
  return error;
}
