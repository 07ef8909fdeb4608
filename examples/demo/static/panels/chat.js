// A chat. Its questions are in the tab's session, its answers in the hub.
import { element, keepingTheEnd, onPress, post, say, setEnabled, showState, tagged } from "../dom.js";
import { Stream } from "../stream.js";

const STATES = {
  running: "",
  done: "Complete.",
  stopped: "Stopped.",
  drained: "Cut off by a restart of the server. Ask again.",
  aborted: "Cut off: its server is gone. Ask again.",
  error: "The model has failed.",
  gone: "This answer is no longer kept.",
};

const log = element("chat-log");
const turns = JSON.parse(sessionStorage.getItem("turns") ?? "[]").slice(-3);
let running = null; // the id of the answer that is being written

const stateOf = async (id) => {
  const response = await fetch(`/answers/${id}`);
  if (response.status === 404) return "gone";
  return response.ok ? (await response.json()).state : "running";
};

const showTurn = ({ question, id }) => {
  const turn = document.createElement("article");
  const [answer, state] = [tagged("p", ""), tagged("p", "")];
  [turn.className, answer.className, state.className] = ["turn", "answer", "state"];
  const asked = tagged("p", question);
  asked.className = "question";
  turn.append(asked, answer, state);
  keepingTheEnd(log, () => log.append(turn));
  log.scrollTop = log.scrollHeight;

  const show = (now) => {
    turn.dataset.state = now;
    answer.setAttribute("aria-busy", now === "running"); // a screen reader waits for the whole answer
    keepingTheEnd(log, () => (state.textContent = STATES[now]));
    if (now === "running") running = id;
    else if (running === id) running = null;
    for (const button of ["chat-cut", "chat-stop"]) setEnabled(element(button), running !== null);
  };

  show("running");
  let opened = 0;
  new Stream("chat", `/answers/${id}/events`, {
    on: {
      open: () => (turn.dataset.connections = ++opened),
      message: (text) => keepingTheEnd(log, () => answer.append(text)),
    },
    // The server answers 204 when the page has had all of the answer. Then this asks how it has ended.
    isOver: async () => {
      const now = await stateOf(id);
      if (now !== "running") show(now);
      return now !== "running";
    },
  }).start();
};

const ask = async (question) => {
  const begun = await post("/answers", { text: question });
  if (begun === null) return say("chat-notice", "The server can’t be reached, or refuses this.", true);
  say("chat-notice", "");
  turns.push({ question, id: begun.answer });
  sessionStorage.setItem("turns", JSON.stringify(turns.slice(-3)));
  showTurn(turns.at(-1));
};

element("chat-form").addEventListener("submit", (submit) => {
  submit.preventDefault();
  ask(element("question").value);
  element("question").value = "";
});

onPress("chat-cut", () => post(`/answers/${running}/cut`));
onPress("chat-stop", () => post(`/answers/${running}/stop`));
onPress("chat-reload", () => location.reload());

log.dataset.empty = "Ask something. The answer takes some seconds.";
showState("chat", "idle");
turns.forEach(showTurn);
