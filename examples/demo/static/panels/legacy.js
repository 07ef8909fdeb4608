// Two endpoints that know nothing of events, read by EventSource.
import { addLine, element, onPress, tagged } from "../dom.js";
import { Stream } from "../stream.js";

const SHORT = 6; // characters of an id; that of a document is long

const show = (log) => (data, { lastEventId: id }) => {
  const shown = id.length > SHORT ? `${id.slice(0, SHORT)}…` : id;
  addLine(element(log), [tagged("b", `id ${shown}`), " ", JSON.stringify(data)], { most: 30 });
};

const lines = new Stream("legacy", "/legacy/lines", { lane: 1, on: { line: show("lines") } });
const status = new Stream("legacy", "/legacy/status", { lane: 1, on: { message: show("status") }, shows: false });
let isRunning = false;

const toggle = () => {
  isRunning = !isRunning;
  element("legacy-toggle").textContent = isRunning ? "Stop" : "Start";
  for (const stream of [lines, status]) isRunning ? stream.start() : stream.stop();
};

onPress("legacy-toggle", toggle);
toggle();
