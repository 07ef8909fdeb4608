// Two clients of one topic: this page, and a slow one that the server has started.
import { element, onPress, post, say, setEnabled, showState } from "../dom.js";
import { Stream, address } from "../stream.js";

const COUNT = 500;
const HINT = "The server counts what the slow client is sent.";

const show = (bar, output, count, text) => {
  element(bar).style.width = `${(100 * count) / COUNT}%`;
  element(output).textContent = `${count}${text}`;
};

// Reads a burst to its end. Resolves with the longest time that an event was under way.
const readAll = (source) =>
  new Promise((resolve, reject) => {
    let [count, late] = [0, 0];
    source.onerror = () => reject(new Error("cut off"));
    source.onmessage = (event) => {
      const { number, at } = JSON.parse(event.data);
      if (number !== ++count) reject(new Error("an event is missing"));
      late = Math.max(late, Math.round(Date.now() - at));
      show("fast-bar", "fast", count, ` read, ${late} ms late`);
      if (count === COUNT) resolve(late);
    };
  });

// Follows the slow client until it has read all. The server polls its own endpoint for that.
const follow = (name) => {
  let stream;
  const followed = new Promise((resolve, reject) => {
    let before = 0;
    const take = ({ sent, read }) => {
      if (read < before) return resolve(false); // a new worker knows nothing of it
      before = read;
      show("slow-bar", "slow-count", read, read < COUNT ? ` read, ${sent} sent` : " read");
      if (read === COUNT) resolve(true);
    };
    stream = new Stream("slow", `/burst/${name}/slow`, { lane: 3, on: { message: take }, shows: false });
    stream.start();
  });
  return { followed, stop: () => stream.stop() };
};

const run = async (name, source) => {
  const published = post(`/burst/${name}`).then((answer) => answer ?? Promise.reject(new Error("refused")));
  const { followed, stop } = follow(name);
  try {
    const [late, { longest }] = await Promise.all([readAll(source), published]);
    say("slow-notice", `This page had each event within ${late} ms. To publish one took ${longest} ms at most.`);
    const whole = await followed;
    const kept = `Both have all ${COUNT}. What the slow one had yet to read was kept once, in the hub.`;
    say("slow-notice", whole ? kept : "The slow client ran in the worker, and has ended with it.");
  } finally {
    stop();
  }
};

const start = async () => {
  const name = crypto.randomUUID().replaceAll("-", "");
  const source = new EventSource(address(`/burst/${name}/events`, 3));
  showState("slow", "live");
  say("slow-notice", HINT);
  setEnabled(element("slow-start"), false);
  setEnabled(element("slow-hurry"), true);
  element("slow-hurry").onclick = () => post(`/burst/${name}/hurry`);
  try {
    await run(name, source);
    showState("slow", "over");
  } catch {
    say("slow-notice", "A stream was cut off. Start again.", true);
    showState("slow", "failed");
  } finally {
    source.close();
    setEnabled(element("slow-start"), true);
    setEnabled(element("slow-hurry"), false);
  }
};

say("slow-notice", HINT);
onPress("slow-start", start);
