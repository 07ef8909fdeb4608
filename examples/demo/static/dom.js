// Small helpers for the page.

export const element = (id) => document.getElementById(id);

const STATES = {
  idle: "not connected",
  connecting: "connecting",
  live: "live",
  away: "coming back",
  paused: "paused",
  over: "complete",
  failed: "failed",
};

// Shows the state of a panel's connection.
export const showState = (panel, state) => {
  const pill = element(panel).querySelector(".pill");
  pill.dataset.state = state;
  pill.textContent = STATES[state];
};

// Appends a line to a log, and goes on showing its end if that was visible.
export const addLine = (log, parts, { most = 100 } = {}) => {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const line = document.createElement(log.matches("ol") ? "li" : "div");
  for (const part of parts) line.append(part);
  log.append(line);
  while (log.children.length > most) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  return line;
};

export const keepingTheEnd = (log, change) => {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  change();
  if (atEnd) log.scrollTop = log.scrollHeight;
};

export const tagged = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

// The beginning of a line: the time of day.
export const clock = (at = new Date()) => tagged("time", `${new Date(at).toLocaleTimeString([], { hour12: false })} `);

export const say = (id, text, bad = false) => {
  element(id).textContent = text;
  element(id).classList.toggle("bad", bad);
};

// Posts JSON. Returns the answer, or null if the server refuses or is away.
export const post = async (path, body) => {
  const options = { method: "POST" };
  if (body !== undefined) Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const response = await fetch(path, options).catch(() => null);
  return response?.ok ? ((await response.json()) ?? true) : null;
};

export const setEnabled = (button, enabled) => button.setAttribute("aria-disabled", !enabled);

// Calls a function when a button is pressed that is enabled.
export const onPress = (id, action) =>
  element(id).addEventListener("click", (event) => {
    if (event.currentTarget.getAttribute("aria-disabled") !== "true") action(event);
  });

export const calm = matchMedia("(prefers-reduced-motion: reduce)");

export const formatted = (number) => number.toLocaleString("en");
