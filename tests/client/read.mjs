// Reads streams, and tells what it sees: an object for each thing that happens, by the number of
// the reading. It runs in Node and in a page.

const controllers = new Map();
const gates = new Map();

/**
 * Reads a stream as a user would.
 *
 * call.request   the path of the stream, with a method in front unless it is GET
 * call.init      what `stream` takes as JSON
 * call.leave     leaves the loop after so many events
 * call.abort     aborts when this is told: "open", "wait" or "event"; "never" has it aborted before
 * call.fail      throws an error when this is told
 * call.byHand    asks for one event, and returns when `go` is called
 * call.slow      takes so many milliseconds for the first event
 * call.quiet     tells no events, only how many there were at the end
 * call.tellAfter as `quiet`, but tells that so many more were there
 * call.data      what `end` compares the data with
 */
export async function read(stream, number, call, tell) {
  const controller = new AbortController();
  controllers.set(number, controller);
  const say = (what, rest) => {
    tell({ number, what, ...rest });
    if (call.abort === what) controller.abort();
    if (call.fail === what) throw new Error("the reader's own");
  };
  if (call.abort === "never") controller.abort();
  const init = { ...call.init, signal: controller.signal };
  init.onopen = ({ status, headers }) => {
    say("open", { status, coding: headers.get("content-encoding") });
  };
  init.onwait = ({ error, delay, attempt }) => {
    say("wait", { delay, attempt, error: error?.name ?? null, message: String(error?.message) });
  };
  if (call.data !== undefined) init.end = ({ raw }) => raw === call.data;
  let count = 0;
  try {
    if (call.byHand) {
      const events = stream(call.request, init)[Symbol.asyncIterator]();
      gates.set(number, () => events.return());
      say("end", await events.next());
      return;
    }
    for await (const { event, data, id } of stream(call.request, init)) {
      count += 1;
      if (!call.quiet && !call.tellAfter) say("event", { event, data, id });
      if (count % call.tellAfter === 0) say("count", { count });
      if (count === call.leave) break;
      if (count === 1 && call.slow) {
        await new Promise((resolve) => setTimeout(resolve, call.slow));
        say("slow");
      }
    }
    say("end", { count });
  } catch (error) {
    const { name, message, response, cause } = error;
    say("error", { name, message, status: response?.status, cause: cause?.name });
  }
}

export function abort(number) {
  controllers.get(number).abort();
}

export function abortAll() {
  for (const controller of controllers.values()) controller.abort();
}

export function go(number) {
  gates.get(number)();
}

/** Returns how many listeners the signal of a reading has. Only Node can tell. */
export async function listeners(number) {
  const { getEventListeners } = await import("node:events");
  return getEventListeners(controllers.get(number).signal, "abort").length;
}
