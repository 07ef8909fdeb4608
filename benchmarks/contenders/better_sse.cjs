// better-sse on Node's own HTTP server. The one argument is the folder of the package.
// Like every contender it prints its port when it listens.

const http = require("node:http")
const { setImmediate } = require("node:timers/promises")
const { createSession } = require(process.argv[2])

const ITEM = { id: 17, name: "widget", price: 12.5, ok: true }

async function* burst(count) {
  for (let i = 0; i < count; i++) yield ITEM
}

async function* paced(count) {
  for (let i = 0; i < count; i++) {
    await setImmediate()
    yield ITEM
  }
}

const PATHS = { "/burst": burst, "/paced": paced }

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://127.0.0.1")
  const session = await createSession(request, response)
  await session.iterate(PATHS[url.pathname](Number(url.searchParams.get("n"))))
  response.end()
})

server.listen(0, "127.0.0.1", () => console.log(server.address().port))
