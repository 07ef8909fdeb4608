// Reads a chat as useChat does, and writes what it has read, as JSON.
import { createRequire } from "node:module";

const [packages, api, text] = process.argv.slice(2);
const { DefaultChatTransport, readUIMessageStream } = createRequire(packages + "/")("ai");

const headers = {};
const transport = new DefaultChatTransport({
  api,
  fetch: async (...request) => {
    const response = await fetch(...request);
    response.headers.forEach((value, name) => (headers[name] = value));
    return response;
  },
});
const messages = [{ id: "1", role: "user", parts: [{ type: "text", text }] }];
const stream = await transport.sendMessages({
  trigger: "submit-message",
  chatId: "chat",
  messages,
  abortSignal: undefined,
});
const errors = [];
let message;
try {
  const onError = (error) => errors.push(error.message);
  for await (message of readUIMessageStream({ stream, onError }));
} catch (error) {
  errors.push(error.message);
}
console.log(JSON.stringify({ headers, message, errors }));
