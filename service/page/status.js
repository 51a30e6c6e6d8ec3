// What is going on with the radiograph that is looked at: waiting, slow, busy, refused.

import { announce, byId } from "./dom.js";
import { inWords } from "./refusals.js";

const QUIET = 300; // milliseconds before anything is said of an answer that is on its way
const SLOW = 4000;
const SAID_SLOW = "Still no answer. You can wait or cancel.";

let ticking = 0;
let told = ""; // what was said aloud last of an answer that is on its way

/** Show where a radiograph stands; null clears everything. */
export function show(radiograph) {
  clearInterval(ticking);
  const underWay = radiograph && (radiograph.state === "reading" || radiograph.state === "waiting");
  const refusal = refusalOf(radiograph);
  if (!underWay) {
    byId("progress").hidden = true;
    told = "";
  }
  if (underWay) {
    const tick = () => showProgress(radiograph);
    ticking = setInterval(tick, 200);
    tick();
  }
  showMessage(refusal);
}

function refusalOf(radiograph) {
  if (!radiograph) return null;
  if (radiograph.refusal) return radiograph.refusal;
  const unseen = radiograph.state === "read" && radiograph.previewRefusal && !radiograph.drawn;
  return unseen ? { ...radiograph.previewRefusal, code: "cannot_show", status: 0, message: "" } : null;
}

function showProgress({ state, startedAt, busy }) {
  const waited = state === "reading" ? performance.now() - startedAt : QUIET;
  const text = byId("progress-text");
  const say = (words) => {
    if (text.textContent !== words) text.textContent = words;
  };
  byId("progress").hidden = waited < QUIET;
  byId("progress").dataset.slow = String(waited >= SLOW);
  tell(busy ? "The service is busy. It is asked again." : waited >= SLOW && SAID_SLOW);
  if (busy) say(`The service is busy. Trying again in ${busy} s.`);
  else if (state === "waiting") say("Waiting for its turn.");
  else if (waited < SLOW) say("Scoring.");
  else say(`Still no answer after ${Math.floor(waited / 1000)} s. You can wait or cancel.`);
}

/** Say aloud, once, what the counting text says again and again. */
function tell(words) {
  if (!words || words === told) return;
  told = words;
  announce(words);
}

function showMessage(refusal) {
  const box = byId("message");
  if (!refusal) {
    box.hidden = true;
    byId("message-title").textContent = byId("message-text").textContent = "";
    return;
  }
  const { title, text, code, again, key } = inWords(refusal);
  box.hidden = false;
  byId("message-title").textContent = title;
  byId("message-text").textContent = text;
  byId("message-code").textContent = code;
  byId("again").hidden = !again;
  byId("enter-key").hidden = !key;
}
