// Cuts a chat after its first word, resumes it as useChat({ resume: true }) does, and asks again
// when it has ended. Writes the whole message, and what was resumed then, as JSON.
import { createRequire } from "node:module";

const [packages, url] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = createRequire(packages + "/")("ai");

const statuses = [];
const transport = new DefaultChatTransport({
  api: `${url}/api/chat`,
  fetch: async (...request) => {
    const response = await fetch(...request);
    statuses.push(response.status);
    return response;
  },
});

const chatId = "chat";
const before = await transport.reconnectToStream({ chatId });

const cut = new AbortController();
const parts = [{ type: "text", text: "one two three" }];
const begun = await transport.sendMessages({
  trigger: "submit-message",
  chatId,
  messages: [{ id: "1", role: "user", parts }],
  abortSignal: cut.signal,
});
let first;
for await (first of begun) if (first.type === "text-delta") break;
cut.abort();

const stream = await transport.reconnectToStream({ chatId });
await fetch(`${url}/go`, { method: "POST" });
let message;
for await (message of readUIMessageStream({ stream }));

const after = await transport.reconnectToStream({ chatId });
console.log(JSON.stringify({ before, first, message, after, statuses }));
