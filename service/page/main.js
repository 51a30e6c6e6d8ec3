// The page: its parts made and wired to each other, nothing more.

import * as access from "./access.js";
import * as doubt from "./doubt.js";
import * as evidence from "./evidence.js";
import * as gestures from "./gestures.js";
import * as intake from "./intake.js";
import * as levels from "./levels.js";
import * as shortcuts from "./shortcuts.js";
import * as status from "./status.js";
import * as theme from "./theme.js";
import { modelUnknown, showFacts, showModel } from "./about.js";
import { announce, byId } from "./dom.js";
import { atSite, fill, named, percent, side, written } from "./findings.js";
import { HeatMaps } from "./heat_maps.js";
import { inWords } from "./refusals.js";
import { decode } from "./picture.js";
import { Desk } from "./desk.js";
import { get } from "./service.js";
import { Strip, stateInWords } from "./strip.js";
import { Viewer } from "./viewer.js";
import { WHOLE } from "./view.js";

const stage = byId("stage");
const desk = new Desk();
const viewer = new Viewer(byId("canvas"), describeView);
const heatMaps = new HeatMaps(desk, viewer);
const strip = new Strip(byId("strip-list"), {
  select: (radiograph) => desk.select(radiograph),
  remove: close,
});
let tool = "window";

// What the service is

async function learnAbout() {
  try {
    const about = await get("/about.json");
    desk.maxBytes = about.max_bytes;
    heatMaps.notice = about.notice;
    showModel(about.model, about.notice);
    evidence.offer(about.methods, () => heatMaps.refresh());
    return true;
  } catch (fault) {
    modelUnknown(inWords(fault).title.toLowerCase());
    if (fault.status === 401) access.askForKey(!byId("key").hidden);
    return false;
  }
}

access.listen(async () => {
  if (await learnAbout()) desk.readRefusedForKey();
});

// Files

function open(files) {
  const first = desk.radiographs.length === 0;
  desk.add(files);
  if (first) stage.focus({ preventScroll: true });
}

async function openSample(name) {
  const answer = await fetch(`/page/samples/${name}`).catch(() => null);
  if (!answer?.ok) {
    announce("The phantom could not be fetched.");
    modelUnknown("the connection to the service was lost");
    return;
  }
  open([new File([await answer.blob()], `phantom ${name}`)]);
}

function close(radiograph) {
  desk.remove(radiograph);
  if (desk.current) strip.focus(desk.current);
  else byId("choose-start").focus();
}

intake.listen(open);
byId("choose").addEventListener("click", intake.choose);
byId("choose-start").addEventListener("click", intake.choose);
for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => openSample(button.dataset.sample));
}

desk.addEventListener("add", ({ detail }) => strip.add(detail));
desk.addEventListener("remove", ({ detail }) => strip.remove(detail));
desk.addEventListener("change", ({ detail: radiograph }) => {
  strip.update(radiograph);
  if (radiograph === desk.current) showCurrent();
  else if (["read", "refused"].includes(radiograph.state)) sayOnce(radiograph);
});
desk.addEventListener("select", ({ detail: radiograph }) => {
  const empty = radiograph === null;
  byId("desk").dataset.empty = String(empty);
  byId("start").hidden = byId("panel").hidden = byId("tools").hidden = false;
  byId("start").hidden = !empty;
  byId("panel").hidden = byId("tools").hidden = byId("strip").hidden = empty;
  strip.select(radiograph);
  shown = { radiograph: null, picture: null, state: null };
  viewer.explain(null);
  viewer.show(null);
  byId("message").dataset.over = "false";
  if (radiograph) viewer.set(radiograph.look);
  showCurrent();
});

// The radiograph that is looked at

let shown = { radiograph: null, picture: null, state: null };
const said = new WeakMap();

function showCurrent() {
  const { current } = desk;
  status.show(current);
  if (!current) {
    byId("name").textContent = "";
    return;
  }
  byId("name").textContent = current.name;
  sayOnce(current);
  if (current.picture && current.picture !== shown.picture) showPicture(current);
  if (current.state !== shown.state || current !== shown.radiograph) showFindings(current);
  shown = { radiograph: current, picture: current.picture, state: current.state };
}

async function showPicture(radiograph) {
  const { picture } = radiograph;
  const greys = await decode(picture);
  if (radiograph !== desk.current || picture !== radiograph.picture) return;
  radiograph.drawn = greys !== null;
  if (greys) viewer.show(greys, radiograph.size ?? greys);
  byId("message").dataset.over = String(viewer.hasPicture);
  status.show(radiograph);
}

function showFindings({ prediction, size, state }) {
  byId("findings-section").hidden = byId("evidence").hidden = !prediction;
  byId("facts-section").hidden = !prediction;
  evidence.warn(prediction?.warnings ?? [], heatMaps.notice);
  doubt.show(prediction?.input);
  if (prediction) {
    const { finding, score, probability, positive } = prediction;
    byId("verdict").dataset.positive = String(positive);
    byId("verdict-title").textContent = `${named(finding)} ${positive ? "positive" : "negative"}`;
    byId("verdict-text").textContent =
      `Score ${written(score)}, ${side(positive)} (0.50). Probability ${percent(probability)}, not calibrated. ${atSite(prediction.pathologies[finding]?.site)}`.trim();
    fill(byId("findings"), prediction.pathologies, (name) => heatMaps.click(name));
    showFacts(prediction);
    showModel(prediction.model, heatMaps.notice);
    viewer.resize(size);
  } else {
    byId("findings").replaceChildren();
    byId("verdict").dataset.positive = "false";
    byId("verdict-title").textContent = ["waiting", "reading"].includes(state) ? "Scoring…" : "Not scored";
    byId("verdict-text").textContent = "";
  }
  heatMaps.refresh();
}

function sayOnce(radiograph) {
  if (said.get(radiograph) === radiograph.state) return;
  said.set(radiograph, radiograph.state);
  const { state, name, prediction } = radiograph;
  if (state === "read") {
    announce(`${name}: ${named(prediction.finding)} ${stateInWords(radiograph)}.`);
  } else if (state === "refused" && radiograph !== desk.current) {
    announce(`${name}: refused.`);
  }
}

byId("cancel").addEventListener("click", () => {
  desk.current?.cancel();
  stage.focus({ preventScroll: true });
});
byId("again").addEventListener("click", () => {
  desk.read(desk.current);
  stage.focus({ preventScroll: true });
});

// Looking

function describeView() {
  const { current } = desk;
  if (current) current.look = { view: viewer.view, levels: viewer.levels };
  const seen = current && viewer.hasPicture;
  byId("levels").textContent = seen ? levels.inWords(viewer.levels) : "";
  byId("zoom").textContent = seen ? `${Math.round(100 * viewer.scale)} %` : "";
  byId("window").value = viewer.levels.window;
  byId("level").value = viewer.levels.level;
  byId("invert").setAttribute("aria-pressed", String(viewer.levels.inverted));
  const map = viewer.showHeat && viewer.explanation?.map ? `, heat map of ${named(viewer.explanation.target)}` : "";
  const label = current ? `${current.name}${map}` : "No radiograph";
  if (stage.getAttribute("aria-label") !== label) stage.setAttribute("aria-label", label);
}

function greys(window, level) {
  viewer.set({ levels: levels.moved(viewer.levels, window, level) });
}

function invert() {
  viewer.set({ levels: { ...viewer.levels, inverted: !viewer.levels.inverted } });
}

function reset() {
  viewer.set({ levels: levels.fullRange() });
}

function whole() {
  viewer.set({ view: WHOLE });
}

function toggleMarks() {
  viewer.set({ showMarks: !viewer.showMarks });
  byId("marks").setAttribute("aria-pressed", String(viewer.showMarks));
}

function use(name) {
  tool = name;
  stage.dataset.tool = name;
  for (const each of ["window", "move"]) {
    byId(`tool-${each}`).setAttribute("aria-pressed", String(each === name));
  }
}

function help() {
  byId("help-dialog").showModal();
}

gestures.listen(stage, {
  tool: () => tool,
  pan: (dx, dy) => viewer.pan(dx, dy),
  zoom: (factor, point) => viewer.zoom(factor, point),
  greys,
  toggleWhole: (point) => (viewer.view.zoom > 1 ? whole() : viewer.zoom(2.5, point)),
});

const buttons = {
  "tool-window": () => use("window"),
  "tool-move": () => use("move"),
  invert,
  reset,
  "zoom-in": () => viewer.zoom(1.25),
  "zoom-out": () => viewer.zoom(0.8),
  fit: whole,
  actual: () => viewer.actualSize(),
  heat: () => heatMaps.toggle(),
  marks: toggleMarks,
  help,
  "test-map": () => heatMaps.refresh({ faithfulness: true }),
};
for (const [id, action] of Object.entries(buttons)) byId(id).addEventListener("click", action);

byId("opacity").addEventListener("input", () => heatMaps.takeOpacity());
for (const name of ["window", "level"]) {
  byId(name).addEventListener("input", (event) => {
    viewer.set({ levels: { ...viewer.levels, [name]: Number(event.target.value) } });
  });
}

shortcuts.listen({
  "+": () => viewer.zoom(1.25),
  "=": () => viewer.zoom(1.25),
  "-": () => viewer.zoom(0.8),
  0: whole,
  1: () => viewer.actualSize(),
  w: () => use("window"),
  m: () => use("move"),
  i: invert,
  r: reset,
  h: () => heatMaps.toggle(),
  "[": () => heatMaps.fade(-5),
  "]": () => heatMaps.fade(5),
  b: toggleMarks,
  n: () => desk.step(1),
  p: () => desk.step(-1),
  o: intake.choose,
  "?": help,
});

theme.listen();
use("window");
evidence.idle();
heatMaps.takeOpacity();
learnAbout();
