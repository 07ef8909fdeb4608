// The bytes of a stream, with compression and without. The browser measures them.
import { element, formatted, onPress, say, setEnabled, showState } from "../dom.js";
import { blocksOf } from "../stream.js";

const button = element("compression-button");

// Resolves with the browser's measurement, which may come shortly after the body.
const measured = async (url) => {
  const entry = () => performance.getEntriesByName(url).find((entry) => entry.encodedBodySize > 0);
  for (let tries = 0; tries < 50 && !entry(); tries++) await new Promise((resolve) => setTimeout(resolve, 20));
  return entry().encodedBodySize;
};

// Reads a stream to its end. Returns its bytes, its coding, and the longest wait between two events.
const read = async (kind) => {
  const url = new URL(`/readings/${kind}?run=${crypto.randomUUID()}`, location.href).href;
  const response = await fetch(url, { cache: "no-store" });
  let [count, longest, before] = [0, 0, performance.now()];
  for await (const _block of blocksOf(response)) {
    const now = performance.now();
    if (count++ > 0) longest = Math.max(longest, now - before);
    before = now;
    element(kind).textContent = `${count} events`;
  }
  return { count, longest, bytes: await measured(url), coding: response.headers.get("content-encoding") };
};

const measure = async () => {
  setEnabled(button, false);
  performance.clearResourceTimings();
  showState("compression", "live");
  const [plain, compressed] = await Promise.all([read("plain"), read("compressed")]);
  for (const [kind, { bytes }] of Object.entries({ plain, compressed })) {
    element(kind).textContent = `${formatted(bytes)} bytes`;
    element(`${kind}-bar`).style.width = `${(100 * bytes) / plain.bytes}%`;
  }
  element("codec").textContent = `compressed with ${compressed.coding}`;
  const times = (plain.bytes / compressed.bytes).toFixed(1);
  say("compression-notice", `${times} times fewer bytes. Both came event by event: the longest wait for a compressed one was ${Math.round(compressed.longest)} ms.`);
  showState("compression", "over");
  setEnabled(button, true);
};

const failed = () => {
  say("compression-notice", "The stream was cut off. Measure again.", true);
  showState("compression", "failed");
  setEnabled(button, true);
};

onPress("compression-button", () => measure().catch(failed));
