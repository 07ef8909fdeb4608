// A typed stream, drawn as a moving plot of the last ten seconds.
import { calm, element, formatted, onPress } from "../dom.js";
import { Stream } from "../stream.js";

const SECONDS = 10;
const BREAK = 500; // milliseconds between two points with a line between them
const HEIGHT = 40; // of the plot, in its own units; its width is 100

let points = []; // { at, euros }
let sales = []; // { at, euros, dot }
let low = 95;
let high = 105;
let isRunning = false;

const onPrice = ({ euros }) => {
  const at = performance.now();
  points.push({ at, euros });
  points = points.filter((point) => at - point.at < (SECONDS + 1) * 1000);
  element("price").textContent = euros.toFixed(2);
};

const onSale = ({ shares, euros }) => {
  const dot = document.createElement("i");
  element("sales").append(dot);
  sales.push({ at: performance.now(), euros, dot });
  element("sale").textContent = `${formatted(shares)} sold at ${euros.toFixed(2)}`;
};

const left = (at, now) => 98 - ((now - at) / 1000 / SECONDS) * 98;
const top = (euros) => 3 + ((high - euros) / (high - low)) * (HEIGHT - 6);

// The scale follows what is visible, and becomes finer without jumps.
const scale = () => {
  const seen = points.map((point) => point.euros);
  const [least, most] = [Math.min(...seen), Math.max(...seen)];
  low = Math.min(least, low + (least - 0.5 - low) * 0.1);
  high = Math.max(most, high + (most + 0.5 - high) * 0.1);
};

// The points in parts, between which there was no connection.
const unbroken = (points) => {
  const parts = [];
  for (const point of points) {
    const before = parts.at(-1)?.at(-1);
    if (before !== undefined && point.at - before.at < BREAK) parts.at(-1).push(point);
    else parts.push([point]);
  }
  return parts;
};

const draw = (now) => {
  if (points.length < 2) return;
  scale();
  const parts = unbroken(points).map((part) => ({
    line: part.map(({ at, euros }) => `${left(at, now).toFixed(2)} ${top(euros).toFixed(2)}`).join("L"),
    first: left(part[0].at, now),
    last: left(part.at(-1).at, now),
  }));
  const set = (path, shape) => element("plot").querySelector(path).setAttribute("d", parts.map(shape).join(""));
  set(".line", ({ line }) => `M${line}`);
  set(".area", ({ line, first, last }) => `M${line}L${last} ${HEIGHT}L${first} ${HEIGHT}Z`);
  sales = sales.filter(({ at, euros, dot }) => {
    const x = left(at, now);
    Object.assign(dot.style, { left: `${x}%`, top: `${(top(euros) / HEIGHT) * 100}%` });
    if (x < -2) dot.remove();
    return x >= -2;
  });
};

const tick = () => {
  if (!isRunning) return;
  draw(performance.now());
  if (calm.matches) setTimeout(tick, 1000);
  else requestAnimationFrame(tick);
};

const stream = new Stream("prices", "/prices", { lane: 1, on: { price: onPrice, sale: onSale } });

const toggle = () => {
  isRunning = !isRunning;
  element("prices-toggle").textContent = isRunning ? "Pause" : "Go on";
  if (!isRunning) return stream.stop("paused");
  for (const { dot } of sales) dot.remove();
  [points, sales] = [[], []];
  stream.start();
  tick();
};

onPress("prices-toggle", toggle);
toggle();
