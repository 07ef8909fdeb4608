// Asks for a completion as a stream, and writes what it has read, as JSON.
import { createRequire } from "node:module";

const [packages, baseURL, model] = process.argv.slice(2);
const { OpenAI } = createRequire(packages + "/")("openai");

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const read = { text: "", reason: null, error: null, status: null, retryAfter: null };
try {
  const messages = [{ role: "user", content: "one two" }];
  const stream = await client.chat.completions.create({ model, messages, stream: true });
  for await (const chunk of stream) {
    read.text += chunk.choices[0].delta.content ?? "";
    read.reason = chunk.choices[0].finish_reason;
  }
} catch (error) {
  read.error = error.message;
  read.status = error.status ?? null;
  read.retryAfter = error.headers?.get("retry-after") ?? null;
}
console.log(JSON.stringify(read));
