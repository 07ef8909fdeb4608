// A composable for Vue. In `setup`:
//   const error = useStream((signal) => stream("/path", { signal }), (event) => ...);
// Another stream is opened when a ref that `open` reads has changed. It runs after the component is
// shown, so not where a server renders the page.
import { readonly, shallowRef, watchPostEffect, type Ref } from "vue";

export function useStream<Event>(
  open: (signal: AbortSignal) => AsyncIterable<Event>,
  onEvent: (event: Event) => void,
): Readonly<Ref<unknown>> {
  const error = shallowRef<unknown>();
  watchPostEffect((onCleanup) => {
    const aborter = new AbortController();
    const events = open(aborter.signal); // reads the refs that the stream depends on
    onCleanup(() => aborter.abort());
    const read = async (): Promise<void> => {
      for await (const event of events) onEvent(event);
    };
    error.value = undefined;
    read().catch((reason: unknown) => (error.value = reason));
  });
  return readonly(error);
}
