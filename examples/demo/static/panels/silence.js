// A silent stream, read by fetch, since an EventSource hides its keep-alives. And the server's log.
import { addLine, clock, element, onPress, showState, tagged } from "../dom.js";
import { Stream, address, blocksOf } from "../stream.js";

const heart = element("heart");
let connection = null; // its AbortController

const beat = (count) => {
  element("beats").textContent = `“: ping” ${count === 1 ? "once" : `${count} times`}, and no event`;
  heart.classList.remove("now");
  requestAnimationFrame(() => heart.classList.add("now"));
};

const show = (state, text) => {
  showState("silence", state);
  element("beats").textContent = text;
  heart.classList.toggle("alive", state === "live");
  element("silence-toggle").textContent = connection === null ? "Connect" : "Leave";
};

const read = async (signal) => {
  const response = await fetch(address("/silence", 2), { signal });
  show("live", "connected");
  let count = 0;
  for await (const block of blocksOf(response)) if (block.startsWith(": ping")) beat(++count);
};

const connect = async () => {
  const mine = (connection = new AbortController());
  show("connecting", "connecting");
  const reason = await read(mine.signal).then(() => "the server has ended the stream", () => "the connection is lost");
  if (connection !== mine) return;
  connection = null;
  show("idle", reason);
};

const leave = () => {
  connection.abort();
  connection = null;
  show("idle", "this page has left");
};

onPress("silence-toggle", () => (connection === null ? connect() : leave()));

const log = element("server-log");
log.dataset.empty = "Connect, and then leave.";
show("idle", "not connected");
new Stream("silence", "/log", {
  lane: 2,
  shows: false,
  on: { log: ({ at, text }) => addLine(log, [clock(at), text]), gap: () => addLine(log, [tagged("em", "a gap")]) },
}).start();
