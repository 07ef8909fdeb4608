// Reads a stream to its end, and writes the data of all messages that it was given, as JSON.
import { createRequire } from "node:module";

// The library is for browsers: it needs a page that is visible.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };

const [packages, url] = process.argv.slice(2);
const { fetchEventSource } = createRequire(packages + "/")("@microsoft/fetch-event-source");
const data = [];
await fetchEventSource(url, {
  onmessage: (message) => data.push(message.data),
  onerror: (error) => {
    throw error;
  },
});
console.log(JSON.stringify(data));
