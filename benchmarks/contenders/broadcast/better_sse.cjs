// A channel of better-sse on Node's own HTTP server. The one argument is the folder of the package.
// Like every contender it prints its port when it listens.

const http = require("node:http")
const { setImmediate, setTimeout: sleep } = require("node:timers/promises")
const { createChannel, createSession } = require(process.argv[2])

const channel = createChannel()

// The clock is the one that Python's `time.monotonic_ns` reads.
const newEvent = () => ({
  id: 17,
  at: Number(process.hrtime.bigint()),
  text: "~ a short message to everybody in the room",
})

async function publishAll(query) {
  const every = query.has("every") ? Number(query.get("every")) : null
  const begin = performance.now()
  for (let number = 0; number < Number(query.get("count")); number++) {
    if (every) await sleep(Math.max(0, begin + 1000 * number * every - performance.now()))
    else if (every === 0) await setImmediate()
    channel.broadcast(newEvent(), "message")
  }
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://127.0.0.1")
  if (url.pathname === "/subscribe") {
    const session = await createSession(request, response)
    channel.register(session)
    session.push({ open: true })
  } else {
    await publishAll(url.searchParams)
    response.end()
  }
})

server.listen({ port: 0, host: "127.0.0.1", backlog: 1024 }, () => console.log(server.address().port))
