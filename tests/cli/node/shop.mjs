// Reads all streams of tests/cli/shop.py, and prints what comes as lines of JSON.
const { stream } = await import(process.env.CLIENT);

const baseUrl = process.env.SERVER;
const tell = (line) => console.log(JSON.stringify(line));

async function read(path, init, count = Infinity) {
  const found = [];
  for await (const { event, data } of stream(path, { baseUrl, retryDelay: 10, ...init })) {
    found.push([event, data]);
    if (found.length === count) break;
  }
  tell([path, found]);
}

const query = { since: "1&2", kinds: ["a", "ü"] };
await read("/orders/{number}", { params: { number: 7 }, query }, 2);
await read("POST /orders", { json: { symbol: "ACME" }, headers: { token: "four" } });
await read("POST /chat", { json: { said: [] } });
await read("POST /photos", { body: new Blob(["png"]) });
const said = [{ text: "a" }, { text: "b" }, {}];
const again = { reconnect: "always" }; // until a 204
await read("POST /answers/{key}", { params: { key: "1" }, json: { said }, ...again });
await read("/inner/{tenant}/numbers", { params: { tenant: "any" }, query: { limit: 2 } }, 2);
await read("/plain/", {}, 1);
await read("PUT /plain/{a}/{b}", { params: { a: "x", b: 1 }, json: {} });
try {
  await read("/orders/{number}", { params: { number: 7 } });
} catch ({ message, response }) {
  tell([message, (await response.json()).detail[0].loc]);
}
