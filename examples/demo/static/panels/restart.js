// Numbers that go on while the server is restarted. The page looks at each: none may be missing.
import { addLine, clock, element, formatted, onPress, post, setEnabled, tagged } from "../dom.js";
import { Stream } from "../stream.js";

const SHOWN = 120;
const counts = { received: 0, lost: 0, twice: 0 };
const button = element("restart-button");
let last = null; // the last number
let worker = null;
let leftAt = null; // when the last stream has ended
let helloAt = 0; // when this one began, by the clock of the day
const began = { connection: 0, shown: 0 };

const tell = (...parts) => addLine(element("restart-log"), [clock(), ...parts], { most: 30 });

const showCounts = () => {
  for (const [name, count] of Object.entries(counts)) {
    element(name).textContent = formatted(count);
    element(name).classList.toggle("bad", name !== "received" && count > 0);
  }
};

const addTick = (at) => {
  const tick = document.createElement("i");
  if (began.connection !== began.shown) tick.className = "new";
  else if (at < helloAt) tick.className = "again";
  began.shown = began.connection;
  element("strip").append(tick);
  while (element("strip").children.length > SHOWN) element("strip").firstElementChild.remove();
};

const onNumber = ({ number, at }) => {
  counts.received += 1;
  if (last !== null && number > last + 1) counts.lost += number - last - 1;
  if (last !== null && number <= last) counts.twice += 1;
  else last = number;
  addTick(at);
  showCounts();
};

const onHello = ({ worker: now }) => {
  if (worker !== null && leftAt !== null) {
    const seconds = ((performance.now() - leftAt) / 1000).toFixed(1);
    tell(now === worker ? "the same worker" : `a new worker, ${now}`, tagged("em", `, after ${seconds} s`));
  }
  helloAt = Date.now();
  began.connection += 1;
  worker = now;
  element("worker").textContent = now;
  setEnabled(button, true);
};

const onFarewell = ({ reason, back_in }) => {
  leftAt = performance.now();
  tell(`farewell: ${reason}`, tagged("em", `, come back in ${(back_in / 1000).toFixed(2)} s`));
};

const onGap = () => {
  last = null;
  tell("a gap is told: this tab was away for longer than the hub keeps numbers");
};

element("restart-log").dataset.empty = "Each step of a restart is shown here.";
showCounts();
new Stream("restart", "/numbers", {
  lane: 3,
  on: { hello: onHello, number: onNumber, farewell: onFarewell, gap: onGap },
}).start();

onPress("restart-button", async () => {
  setEnabled(button, false);
  tell("the server is told to stop: SIGTERM");
  if ((await post("/restart")) === null) setEnabled(button, true);
});
