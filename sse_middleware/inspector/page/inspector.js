/* The page of the inspector.

   Rules of this file:
   - Every text is set as text. Names, addresses, ids and data are whatever a client has sent.
     Characters that would hide or reorder others are shown as escapes.
   - Lists are bounded, and a row is touched only if it has changed.
   - While the page is hidden it asks for nothing.
   - The console draws a few times a second, however much comes. It says how much it doesn't show.
*/
"use strict"

const LOG_LENGTH = 300
const SAMPLES = 90
const CLOSES = 100
const LONGEST_DATA = 4000
const LARGEST_EVENT = 16 * 1024 * 1024
const BETWEEN_DRAWS = 200 // ms
const READING = 10 // ms of reading, then the page has a turn. It slows the server, not the page
const SHORTEST_RETRY = 100 // ms, so that a stream that says 0 isn't asked without a pause
const LONGEST_RETRY = 2 ** 31 - 1 // ms: a longer timer fires at once
const BETWEEN_TRIES = 3000 // ms
const TRIES = 20 // for a connection to the process that the page shows
const HEADERS = { "Content-Type": "application/json", "X-SSE-Inspector": "1" }

const $ = (id) => document.getElementById(id)

function make(tag, text = "", attributes = {}) {
  const element = document.createElement(tag)
  if (text !== "") element.textContent = visible(text)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  return element
}

function say(element, text) {
  const shown = visible(text)
  if (element.textContent !== shown) element.textContent = shown
}

/* Control characters but for tab and newline, marks of direction, and spaces without a width. */
const UNSEEN = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g

function visible(text) {
  return text.replace(UNSEEN, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

/* Numbers */

const whole = new Intl.NumberFormat("en")
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 })

function number(value) {
  return value < 10 ? tenths.format(value) : whole.format(Math.round(value))
}

function bytes(value) {
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return `${unit === "B" ? Math.round(value) : tenths.format(value)} ${unit}`
    value /= 1024
  }
}

function duration(seconds) {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`
  if (seconds < 60) return `${seconds < 10 ? tenths.format(seconds) : Math.floor(seconds)} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60 % 60)} min`
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600 % 24)} h`
}

const age = (from) => from ? duration(Math.max(0, Math.floor(now() - from))) : "–"
const clock = (at) => at ? new Date(at * 1000).toLocaleTimeString("en-GB") : "–"
const reasonText = (reason) => reason.replaceAll("_", " ")

/* The time of the server, as far as it is known. */
let ahead = 0
const now = () => Date.now() / 1000 + ahead

/* Lines of the figures */

class Line {
  constructor(id) {
    this.svg = $(id)
    this.samples = []
    this.svg.setAttribute("viewBox", `0 0 ${SAMPLES - 1} 30`)
    this.svg.setAttribute("preserveAspectRatio", "none")
    this.area = document.createElementNS("http://www.w3.org/2000/svg", "polygon")
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "polyline")
    this.svg.append(this.area, this.line)
  }

  add(value) {
    this.samples.push(value)
    if (this.samples.length > SAMPLES) this.samples.shift()
    const top = Math.max(...this.samples, 1e-9)
    const first = SAMPLES - this.samples.length
    const points = this.samples.map((one, at) => `${first + at},${(28 - 25 * one / top).toFixed(2)}`)
    this.line.setAttribute("points", points.join(" "))
    this.area.setAttribute("points", `${first},30 ${points.join(" ")} ${SAMPLES - 1},30`)
  }
}

const figures = {
  open: [new Line("open-line"), number],
  events: [new Line("events-line"), number],
  size: [new Line("size-line"), bytes],
  opened: [new Line("opened-line"), number],
  closed: [new Line("closed-line"), number],
  waiting: [new Line("waiting-line"), bytes],
}

let before = null

function showFigures(at, totals) {
  const ended = Object.entries(totals.closed)
    .reduce((sum, [reason, count]) => sum + (reason === "refused" ? 0 : count), 0)
  const counts = { events: totals.events, size: totals.size, opened: totals.opened, closed: ended }
  const values = { open: totals.open, waiting: totals.waiting }
  const seconds = before ? at - before.at : 0
  if (seconds > 0) {
    for (const name of Object.keys(counts)) {
      values[name] = Math.max(0, (counts[name] - before.counts[name]) / seconds)
    }
  }
  before = { at, counts }
  for (const [name, value] of Object.entries(values)) {
    const [line, format] = figures[name]
    say($(name), format(value))
    line.add(value)
  }
}

/* Tables */

class Table {
  constructor(id, columns) {
    this.name = id
    this.columns = columns
    this.rows = new Map()
    this.elements = new Map()
    const table = $(id)
    table.setAttribute("role", "table")
    const head = make("thead", "", { role: "rowgroup" })
    const row = make("tr", "", { role: "row" })
    for (const { label, hidden, right } of columns) {
      const cell = make("th", "", { scope: "col", role: "columnheader" })
      cell.append(hidden ? make("span", label, { class: "unseen" }) : label)
      if (right) cell.className = "right"
      row.append(cell)
    }
    head.append(row)
    this.body = make("tbody", "", { role: "rowgroup" })
    table.append(head, this.body)
    this.draw([])
  }

  change({ rows, order }) {
    for (const [id, row] of Object.entries(rows)) this.rows.set(id, row)
    if (order) this.draw(order)
    else for (const id of Object.keys(rows)) this.fill(id)
  }

  draw(order) {
    const wanted = new Set(order)
    for (const id of [...this.elements.keys()]) {
      if (wanted.has(id)) continue
      this.elements.get(id).remove()
      this.elements.delete(id)
    }
    for (const id of [...this.rows.keys()]) if (!wanted.has(id)) this.rows.delete(id)
    order.forEach((id, at) => {
      const element = this.fill(id)
      if (this.body.children[at] !== element) this.body.insertBefore(element, this.body.children[at] || null)
    })
    $(this.name).hidden = order.length === 0
    $(`empty-${this.name}`).hidden = order.length > 0
  }

  fill(id) {
    let element = this.elements.get(id)
    const row = this.rows.get(id)
    if (!element) {
      element = make("tr", "", { role: "row" })
      for (const column of this.columns) {
        const cell = make("td", "", { role: "cell", "data-label": column.label })
        if (column.right) cell.className = "right"
        if (column.kind) cell.classList.add(column.kind)
        if (column.build) column.build(cell, () => this.rows.get(id))
        element.append(cell)
      }
      this.elements.set(id, element)
    }
    this.columns.forEach((column, at) => {
      const cell = element.children[at]
      if (column.text) {
        const text = column.text(row)
        say(cell, text)
        cell.classList.toggle("none", text === "–")
        if (column.title) cell.title = visible(column.title(row) || text)
      }
      if (column.update) column.update(cell, row)
    })
    return element
  }

  tick() {
    for (const [id, element] of this.elements) {
      this.columns.forEach((column, at) => {
        if (column.ages) say(element.children[at], column.text(this.rows.get(id)))
      })
    }
  }

  clear() {
    this.rows.clear()
    this.draw([])
  }
}

let actions = []

function button(label, text, act, className = "quiet small") {
  const element = make("button", label, { type: "button", class: className, "aria-label": text })
  element.addEventListener("click", act)
  return element
}

const where = (row) => row.route || row.path
const withRoute = {
  label: "Route", kind: "mono",
  build(cell) { cell.append(make("span"), make("small")) },
  update(cell, row) {
    say(cell.firstChild, row.method === "GET" ? where(row) : `${row.method} ${where(row)}`)
    say(cell.lastChild, where(row) === row.path ? "" : row.path)
    cell.title = visible(`${row.method} ${row.path}`)
  },
}
const client = { label: "Client", kind: "mono", text: (row) => row.client || "–", title: (row) => row.client }

const tables = {
  streams: new Table("streams", [
    withRoute,
    client,
    { label: "Age", right: true, ages: true, text: (row) => age(row.began) },
    { label: "Events", right: true, text: (row) => whole.format(row.events) },
    { label: "Sent", right: true, text: (row) => bytes(row.size) },
    { label: "Waiting", right: true, text: (row) => row.waiting ? bytes(row.waiting) : "–" },
    {
      label: "Last id", kind: "id",
      build(cell) { cell.append(make("span"), make("small")) },
      update(cell, row) {
        say(cell.firstChild, row.last || "–")
        say(cell.lastChild, row.came ? `came after ${row.came}` : "")
        cell.classList.toggle("none", !(row.last || row.came))
        cell.title = visible([row.last, row.came && `It came back with the id ${row.came}`].filter(Boolean).join("\n"))
      },
    },
    {
      label: "Actions", hidden: true, kind: "actions",
      build(cell, row) {
        cell.append(button("Watch", "Watch this path in the console", () => watchRoute(row())))
        if (actions.includes("close")) {
          cell.append(button("Close", "Close this stream", () => act("close", row().id), "danger quiet small"))
        }
      },
      update(cell, row) { cell.firstChild.disabled = row.method !== "GET" },
    },
  ]),
  closes: new Table("closes", [
    { label: "Ended", text: (row) => clock(row.at) },
    withRoute,
    client,
    {
      label: "Reason", kind: "reason",
      update(cell, row) {
        cell.dataset.reason = row.reason
        say(cell, row.error ? `${reasonText(row.reason)}: ${row.error}` : reasonText(row.reason))
      },
    },
    { label: "Lasted", right: true, text: (row) => row.reason === "refused" ? "–" : duration(row.seconds) },
    { label: "Events", right: true, text: (row) => whole.format(row.events) },
    { label: "Sent", right: true, text: (row) => bytes(row.size) },
  ]),
  topics: new Table("topics", [
    { label: "Topic", kind: "mono", text: (row) => row.name, title: (row) => row.name },
    { label: "Subscribers", right: true, text: (row) => whole.format(row.subscribers) },
    { label: "Kept here", right: true, text: (row) => whole.format(row.kept) },
    { label: "Last event", right: true, ages: true, text: (row) => row.last ? `${age(row.last)} ago` : "–" },
    {
      label: "Actions", hidden: true, kind: "actions",
      build(cell, row) {
        cell.append(button("Watch", "Watch this topic in the console", () => watchIn("topic", row().name)))
      },
    },
  ]),
  runs: new Table("runs", [
    { label: "Run", kind: "mono", text: (row) => row.key, title: (row) => row.key },
    {
      label: "State", kind: "reason",
      update(cell, row) {
        cell.dataset.reason = row.state || "elsewhere"
        say(cell, row.state || "produced elsewhere")
      },
    },
    { label: "Viewers", right: true, text: (row) => whole.format(row.viewers) },
    { label: "Began", right: true, ages: true, text: (row) => row.began ? `${age(row.began)} ago` : "–" },
    { label: "Took", right: true, text: (row) => row.ended ? duration(row.ended - row.began) : "–" },
    { label: "Size", right: true, text: (row) => row.size ? bytes(row.size) : "–" },
    {
      label: "Actions", hidden: true, kind: "actions",
      build(cell, row) {
        cell.append(button("Watch", "Watch this run in the console", () => watchIn("run", row().key)))
        if (actions.includes("stop")) {
          cell.append(button("Stop…", "Stop this run", () => askToStop(row().key), "danger quiet small"))
        }
      },
      update(cell, row) {
        const stop = cell.children[1]
        if (stop) stop.hidden = !["", "running"].includes(row.state)
      },
    },
  ]),
}

function count(name, shown, total) {
  say($(`count-${name}`), total ? whole.format(total) : "")
  const more = total > shown ? `The first ${whole.format(shown)} of ${whole.format(total)}.` : ""
  say($(`hint-${name}`), [more, hints[name]].filter(Boolean).join(" "))
}

const hints = {
  streams: "",
  closes: "",
  topics: "What this process has of each topic. The store may keep more.",
  runs: "Runs that this process produces, views, or produced since somebody looked.",
}

/* Closes */

let closes = []

function showCloses(rows) {
  closes = [...rows.toReversed(), ...closes].slice(0, CLOSES)
  const byNumber = Object.fromEntries(closes.map((row) => [`n${row.number}`, row]))
  tables.closes.change({ rows: byNumber, order: closes.map((row) => `n${row.number}`) })
  const reasons = new Map()
  for (const { reason } of rows) reasons.set(reason, (reasons.get(reason) || 0) + 1)
  const parts = [...reasons].map(([reason, times]) => `${times} ${reasonText(reason)}`)
  say($("said"), `Streams ended: ${parts.join(", ")}`)
}

function showReasons(closed) {
  const list = $("reasons")
  const ended = Object.entries(closed).filter(([, times]) => times > 0)
  const total = ended.reduce((sum, [, times]) => sum + times, 0)
  say($("count-closes"), total ? whole.format(total) : "")
  const known = new Map([...list.children].map((item) => [item.dataset.reason, item]))
  for (const [reason, times] of ended) {
    let item = known.get(reason)
    if (!item) {
      item = make("li", "", { "data-reason": reason })
      item.append(make("span", reasonText(reason)), make("strong"))
      list.append(item)
    }
    say(item.lastChild, whole.format(times))
  }
}

/* The stream of the page */

let source = null

function state(name, text) {
  $("state").dataset.state = name
  say($("state"), text)
}

function notice(text) {
  $("notice").hidden = !text
  say($("notice"), text)
}

function connect() {
  disconnect()
  state("waiting", "Connecting")
  source = new EventSource(`stream?order=${encodeURIComponent($("order").value)}`)
  source.addEventListener("hello", (event) => begin(JSON.parse(event.data)))
  source.addEventListener("changes", (event) => change(JSON.parse(event.data)))
  source.addEventListener("error", () => {
    state("waiting", "Reconnecting")
    if (source && source.readyState === EventSource.CLOSED) isRefused()
  })
}

/* An EventSource gives up at any answer that is no stream, such as a proxy's while the server restarts. */
async function isRefused() {
  const refused = source
  const status = await fetch("stream", { method: "HEAD", cache: "no-store" }).then((answer) => answer.status, () => 0)
  if (source !== refused) return
  if (status >= 400 && status < 500) {
    state("lost", "Refused")
    $("drain").hidden = true
    notice("The server refuses this page. You may have to sign in again. Reload the page to try again.")
  } else {
    if (status === 200) notice("The server has no room for this page now: too many inspectors are open. It tries again.")
    again = setTimeout(connect, BETWEEN_TRIES)
  }
}

let again = 0

function disconnect() {
  clearTimeout(again)
  if (source) source.close()
  source = null
}

let process = null
let hello = null

function begin(said) {
  if (process && process !== `${said.host} ${said.process}`) before = null
  process = `${said.host} ${said.process}`
  hello = said
  actions = said.actions
  findPrefix(said.path)
  closes = []
  for (const table of Object.values(tables)) table.clear()
  $("drain").hidden = !actions.includes("drain")
  hints.closes = `The last ${CLOSES} since ${clock(said.closes_since)}, when somebody first looked. The counts are since ${clock(said.began)}.`
  say($("hint-closes"), hints.closes)
  document.title = `Streams of ${said.host}`
  notice("")
}

/* What a proxy cuts off before the application sees a path, or adds. */
let cutOff = ""
let added = ""

function findPrefix(path) {
  const there = path.replace(/[^/]*$/, "")
  const here = decodeURIComponent(location.pathname.replace(/[^/]*$/, ""))
  cutOff = here.endsWith(there) ? here.slice(0, here.length - there.length) : ""
  added = there.endsWith(here) ? there.slice(0, there.length - here.length) : ""
}

/* Returns the path by which a browser reaches what the application sees at another one. */
function inBrowser(path) {
  const seen = cutOff + (added && path.startsWith(`${added}/`) ? path.slice(added.length) : path)
  return seen.split("/").map(encodeURIComponent).join("/")
}

const known = { streams: 0, topics: 0, runs: 0 }

function change(said) {
  ahead = said.at - Date.now() / 1000
  state(said.totals.draining ? "lost" : "live", said.totals.draining ? "Draining" : "Live")
  if (said.totals.draining) $("drain").hidden = true
  say($("where"), `${hello.host} · process ${hello.process} · counting for ${age(hello.began)} · sse_middleware ${hello.version}`)
  showFigures(said.at, said.totals)
  showReasons(said.totals.closed)
  for (const name of ["streams", "topics", "runs"]) {
    if (said[name]) {
      tables[name].change(said[name])
      known[name] = said[name].total
    }
    count(name, tables[name].rows.size, known[name])
    tables[name].tick()
  }
  if (!said.hub) {
    const text = "There is no open hub here. Inspector(hub=hub) shows one that the middleware doesn't have."
    say($("hint-topics"), text)
    say($("hint-runs"), text)
  }
  if (said.closes) showCloses(said.closes)
  suggest()
}

/* Actions */

async function act(action, target = "") {
  const body = JSON.stringify({ action, target, process: hello.name })
  try {
    let answer
    for (let tries = 0; tries < TRIES; tries += 1) {
      answer = await fetch("control", { method: "POST", headers: HEADERS, body })
      if (answer.status !== 409) break // which is another process
    }
    if (!answer.ok) notice(`The server refuses that: ${answer.status} ${(await answer.text()).slice(0, 200)}`)
    else notice((await answer.json()).done ? "" : "It had ended already.")
  } catch {
    notice("The server can't be reached.")
  }
}

function ask(title, text, yes) {
  const dialog = $("ask")
  say($("ask-title"), title)
  say($("ask-text"), text)
  say($("ask-yes"), yes)
  dialog.returnValue = ""
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true })
  })
}

async function askToStop(key) {
  const text = `The generator of the run ${key.slice(0, 100)} is cancelled. What it has yielded is kept.`
  if (await ask("Stop this run?", text, "Stop")) act("stop", key)
}

$("drain").addEventListener("click", async () => {
  const text = "All streams of this process end in good order, and it takes no more of them until it is restarted."
  if (await ask("Drain this process?", text, "Drain")) act("drain")
})

/* Tabs */

const tabs = [...document.querySelectorAll("[role=tab]")]

function select(tab, focus = false) {
  for (const one of tabs) {
    const chosen = one === tab
    one.setAttribute("aria-selected", chosen)
    one.tabIndex = chosen ? 0 : -1
    $(one.getAttribute("aria-controls")).hidden = !chosen
  }
  if (focus) tab.focus()
  tab.scrollIntoView({ block: "nearest", inline: "nearest" })
  history.replaceState(null, "", `#${tab.id.slice(4)}`)
}

for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab))
  tab.addEventListener("keydown", (event) => {
    const at = tabs.indexOf(tab)
    const next = {
      ArrowRight: tabs[(at + 1) % tabs.length],
      ArrowLeft: tabs[(at + tabs.length - 1) % tabs.length],
      Home: tabs[0],
      End: tabs.at(-1),
    }[event.key]
    if (!next) return
    event.preventDefault()
    select(next, true)
  })
}

/* The console: parts of a stream */

class Parser {
  constructor(on) {
    this.on = on
    this.rest = ""
    this.id = ""
    this.reset()
  }

  reset() {
    this.data = []
    this.type = ""
    this.frame = ""
  }

  begin() {
    this.rest = ""
    this.reset()
  }

  /* Takes the next text. Throws at an event that is too large. */
  feed(text) {
    const all = this.rest + text
    const ends = /\r\n|\n|\r/g
    ends.lastIndex = Math.max(0, this.rest.length - 1) // no other line ends in the rest
    let at = 0
    for (;;) {
      const found = ends.exec(all)
      if (!found || (found[0] === "\r" && ends.lastIndex === all.length)) break
      const line = all.slice(at, found.index)
      at = ends.lastIndex
      this.frame += `${line}\n`
      this.line(line)
    }
    this.rest = all.slice(at)
    if (this.rest.length + this.frame.length > LARGEST_EVENT) throw new RangeError("an event is too large")
  }

  line(line) {
    if (line === "") return this.dispatch()
    const colon = line.indexOf(":")
    if (colon === 0) return this.comment(line.slice(1).replace(/^ /, ""))
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "")
    if (field === "data") this.data.push(value)
    else if (field === "event") this.type = value
    else if (field === "id" && !value.includes("\0")) this.id = value
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.on("retry", value, this.frame)
  }

  comment(text) {
    this.on("ping", text, this.frame)
    this.frame = ""
  }

  dispatch() {
    const raw = this.frame
    if (this.data.length) this.on("event", this.data.join("\n"), raw, this.type || "message", this.id)
    else if (raw.trim() && !raw.startsWith("retry")) this.on("ping", this.id ? `id ${this.id}` : "", raw)
    this.reset()
  }
}

let entries = []
let leftOut = 0
let drawing = 0
let lastDrawn = 0
let raw = false

function entry(kind, text, more = {}) {
  entries.push({ kind, at: Date.now(), ...more, text: kept(text), raw: more.raw && kept(more.raw) })
  if (entries.length > LOG_LENGTH) {
    entries.shift()
    leftOut += 1
  }
  drawing ||= setTimeout(drawLog, Math.max(0, lastDrawn + BETWEEN_DRAWS - performance.now()))
}

function clearLog() {
  entries = []
  leftOut = 0
  drawLog()
}

function drawLog() {
  clearTimeout(drawing)
  drawing = 0
  lastDrawn = performance.now()
  say($("left-out"), leftOut ? `The last ${LOG_LENGTH} lines. ${whole.format(leftOut)} before them are not shown.` : "")
  const log = $("log")
  const items = []
  for (const one of entries.toReversed()) {
    one.element ??= drawEntry(one)
    items.push(one.element)
  }
  log.replaceChildren(...items)
}

function drawEntry(one) {
  const item = make("li", "", { "data-kind": one.kind })
  item.append(make("time", times.format(one.at)), make("span", one.name || one.kind, { class: "badge" }))
  if (raw && one.raw !== undefined) {
    item.append(make("pre", one.raw.trimEnd()))
  } else {
    item.append(make("pre", one.kind === "event" ? pretty(one.text) : one.text))
    if (one.id) item.append(make("span", one.id, { class: "id", title: "id" }))
  }
  return item
}

const times = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" })

/* Returns what is kept of a text. A slice would keep all of it in memory, and a clone doesn't. */
function kept(text) {
  if (text.length <= LONGEST_DATA) return text
  return `${structuredClone(text.slice(0, LONGEST_DATA))}… (${whole.format(text.length)} characters)`
}

function pretty(text) {
  if (text.length > LONGEST_DATA || !/^[[{]/.test(text)) return text
  try {
    const value = JSON.parse(text)
    const line = JSON.stringify(value)
    return line.length < 90 ? line : JSON.stringify(value, null, 2)
  } catch {
    return text
  }
}

/* The console: a client that watches */

let watching = null

class Watcher {
  constructor(url, headers = {}) {
    this.url = url
    this.headers = headers
    this.facts = { events: 0, pings: 0, bytes: 0, reconnects: 0 }
    this.retry = 3000 // as browsers have it
    this.ended = false
    this.parser = new Parser((...part) => this.take(...part))
  }

  take(kind, text, frame, name, id) {
    if (kind === "event") {
      this.facts.events += 1
      entry("event", text, { name, id, raw: frame })
    } else if (kind === "ping") {
      this.facts.pings += 1
      entry("ping", text, { raw: frame })
    } else {
      const retry = Math.min(Number(text), LONGEST_RETRY)
      if (this.retry !== retry) entry("retry", `${retry} ms`)
      this.retry = retry
    }
  }

  show() {
    for (const [name, value] of Object.entries(this.facts)) {
      say($(`fact-${name}`), name === "bytes" ? bytes(value) : whole.format(value))
    }
    say($("fact-id"), this.parser.id || "–")
    say($("count-console"), this.ended ? "" : whole.format(this.facts.events))
  }

  async run() {
    while (!this.ended) {
      this.connection = new AbortController()
      const goesOn = await this.read()
      this.show()
      if (!goesOn || this.ended) break
      const pause = Math.max(this.retry, SHORTEST_RETRY)
      entry("connection", `reconnects in ${duration(pause / 1000)}${this.parser.id ? `, after the id ${this.parser.id}` : ""}`)
      await new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, pause) })
      if (!this.ended) this.facts.reconnects += 1
    }
    this.end()
  }

  /* Reads one connection. Returns whether another one is to follow, as for an EventSource. */
  async read() {
    this.parser.begin()
    const headers = { Accept: "text/event-stream" }
    if (this.parser.id) headers["Last-Event-ID"] = asHeader(this.parser.id)
    try {
      const answer = await fetch(this.url, { headers, signal: this.connection.signal, cache: "no-store" })
      const type = (answer.headers.get("content-type") || "").split(";")[0]
      entry("connection", `${answer.status} ${type}`)
      if (answer.status === 204) {
        entry("connection", "the server says that this is all")
        return false
      }
      if (answer.status !== 200 || type !== "text/event-stream") {
        entry("connection", "this is no event stream, so an EventSource would give up")
        this.connection.abort()
        return false
      }
      const counted = new TransformStream({
        transform: (chunk, to) => { this.facts.bytes += chunk.byteLength; to.enqueue(chunk) },
      })
      const reader = answer.body.pipeThrough(counted).pipeThrough(new TextDecoderStream()).getReader()
      let began = performance.now()
      for (;;) {
        const { value, done } = await reader.read()
        if (done) break
        this.parser.feed(value)
        this.show()
        if (performance.now() - began > READING) {
          await new Promise((resolve) => setTimeout(resolve))
          began = performance.now()
        }
      }
      entry("connection", "the server has ended the stream")
    } catch (error) {
      if (this.ended) return false
      if (error instanceof RangeError) {
        entry("connection", `an event is larger than ${bytes(LARGEST_EVENT)}, which is more than this page reads`)
        this.connection.abort()
        return false
      }
      entry("connection", this.connection.signal.aborted ? "you have cut the connection" : "the connection is lost")
    }
    return true
  }

  cut() {
    this.connection?.abort()
    this.wake?.()
  }

  end() {
    if (!this.ended) entry("connection", "watching has ended")
    this.ended = true
    this.cut()
    this.show()
    if (watching === this) {
      watching = null
      $("cut").disabled = $("halt").disabled = true
    }
  }
}

/* A header has bytes: UTF-8, as an EventSource sends it. */
const asHeader = (id) => String.fromCharCode(...new TextEncoder().encode(id))

function urlOf(kind, target) {
  if (kind === "topic") {
    return `topic?name=${encodeURIComponent(target)}&after=${$("after").value}`
  }
  if (kind === "run") return `run?key=${encodeURIComponent(target)}`
  const url = new URL(target, location.origin)
  return target.startsWith("/") && url.origin === location.origin ? url.href : null
}

function watch() {
  const kind = $("kind").value
  const target = $("target").value
  const url = urlOf(kind, target)
  if (url === null) {
    say($("watched"), "A route is a path of this site, such as /events")
    $("watched").classList.add("wrong")
    return
  }
  watching?.end()
  clearLog()
  $("facts").hidden = false
  $("watched").classList.remove("wrong")
  say($("watched"), `Watching ${kind === "route" ? "" : `the ${kind} `}${target}`)
  watching = new Watcher(url)
  $("cut").disabled = $("halt").disabled = false
  watching.run()
}

function watchIn(kind, target) {
  $("kind").value = kind
  $("target").value = target
  kindChanged()
  select($("tab-console"), true)
  watch()
}

/* The path goes into the field, and a person decides: it is whatever a client has asked for. */
function watchRoute(row) {
  $("kind").value = "route"
  $("target").value = inBrowser(row.path)
  kindChanged()
  select($("tab-console"))
  $("target").focus()
}

function kindChanged() {
  const kind = $("kind").value
  $("after-label").hidden = kind !== "topic"
  $("target").placeholder = { route: "/events", topic: "news", run: "chat:1" }[kind]
  suggest()
}

function suggest() {
  const kind = $("kind").value
  const names = {
    route: () => [...tables.streams.rows.values()].filter((row) => row.method === "GET").map((row) => inBrowser(row.path)),
    topic: () => [...tables.topics.rows.values()].map((row) => row.name),
    run: () => [...tables.runs.rows.values()].map((row) => row.key),
  }[kind]()
  const wanted = [...new Set(names)].slice(0, 50)
  const list = $("targets")
  if ([...list.children].map((one) => one.value).join("\n") === wanted.join("\n")) return
  list.replaceChildren(...wanted.map((name) => make("option", "", { value: name })))
}

function showRaw(wanted) {
  raw = wanted
  $("show-raw").setAttribute("aria-pressed", wanted)
  $("show-decoded").setAttribute("aria-pressed", !wanted)
  for (const one of entries) one.element = undefined
  drawLog()
}

$("watch").addEventListener("submit", (event) => { event.preventDefault(); watch() })
$("kind").addEventListener("change", kindChanged)
$("cut").addEventListener("click", () => watching?.cut())
$("halt").addEventListener("click", () => watching?.end())
$("clear").addEventListener("click", clearLog)
$("show-raw").addEventListener("click", () => showRaw(true))
$("show-decoded").addEventListener("click", () => showRaw(false))
$("order").addEventListener("change", connect)

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    disconnect()
    state("waiting", "Paused")
  } else {
    connect()
  }
})

const wanted = tabs.find((tab) => `#${tab.id.slice(4)}` === location.hash)
if (wanted) select(wanted)
kindChanged()
if (!document.hidden) connect()
