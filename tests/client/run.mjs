// Reads streams in Node: `node run.mjs CLIENT`. Commands come as lines of JSON, reports go.
// It ends by itself when there are no more commands, unless something is left open.
import { createInterface } from "node:readline";
import * as reading from "./read.mjs";

const { stream } = await import(process.argv[2]);
const tell = (report) => process.stdout.write(JSON.stringify(report) + "\n");

const commands = {
  read: ({ number, call }) => void reading.read(stream, number, call, tell),
  abort: ({ number }) => reading.abort(number),
  go: ({ number }) => reading.go(number),
  async listeners({ number }) {
    tell({ number, what: "listeners", count: await reading.listeners(number) });
  },
  memory({ number }) {
    gc();
    tell({ number, what: "memory", bytes: process.memoryUsage().heapUsed });
  },
};

process.on("warning", ({ name, message }) => tell({ number: -1, what: "warning", name, message }));
tell({ number: -1, what: "ready" });
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  await commands[command.do](command);
}
reading.abortAll();
