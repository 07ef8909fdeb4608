// A room, shared by all tabs.
import { addLine, element, onPress, post, say, tagged } from "../dom.js";
import { Stream } from "../stream.js";

const NAMES = ["Heron", "Otter", "Finch", "Badger", "Lynx", "Swift", "Newt", "Marten"];
const name = sessionStorage.getItem("name") ?? NAMES[Math.floor(Math.random() * NAMES.length)];
const log = element("room-log");

element("name").value = name;
element("name").addEventListener("change", () => sessionStorage.setItem("name", element("name").value));
sessionStorage.setItem("name", name);
log.dataset.empty = "Nobody has said anything yet.";

new Stream("room", "/room/events", {
  lane: 2,
  on: {
    said: ({ name, text }) => addLine(log, [tagged("b", name), ` ${text}`]),
    gap: () => addLine(log, [tagged("em", "More was said than the hub keeps.")]),
  },
}).start();

element("room-form").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const said = await post("/room", { name: element("name").value, text: element("message").value });
  say("room-notice", said ? "" : "The server can’t be reached, or refuses this.", !said);
  if (said) element("message").value = "";
});

// A tab that was opened by a script begins with a copy of its session: it gets a name of its own.
onPress("room-tab", () => window.open(location.href, "_blank", "noopener"));
