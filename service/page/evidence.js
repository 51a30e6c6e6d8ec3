// What is said beside a heat map: where its peak is, how it was made, whether it holds.

import { byId, element } from "./dom.js";
import { inWords } from "./refusals.js";
import { named, side, written } from "./findings.js";

const text = byId("evidence-text");
const test = byId("evidence-test");
const controls = byId("evidence-controls");

/** Fill the lists of methods and layers; the map that costs nothing is chosen first. */
export function offer(methods, onChange) {
  const method = byId("method");
  const layer = byId("layer");
  const fillLayers = () => {
    const { layers } = methods.find((one) => one.method === method.value);
    layer.replaceChildren(...[...layers].reverse().map((name) => new Option(layerName(name), name)));
    layer.disabled = layers.length === 1;
  };
  method.replaceChildren(...methods.map((one) => new Option(one.name, one.method)));
  if (methods.some((one) => one.method === "cam")) method.value = "cam";
  fillLayers();
  method.onchange = () => {
    fillLayers();
    onChange();
  };
  layer.onchange = onChange;
}

const LAST_LAYER = "norm5";

const layerName = (name) => (name === LAST_LAYER ? "last" : name.replace("denseblock", "dense block "));

/** The fields of the map that is chosen. */
export function chosen() {
  return { method: byId("method").value, layer: byId("layer").value };
}

/** Nothing is asked for. */
export function idle() {
  text.textContent = "Click a finding, or press H, to see its heat map.";
  text.classList.remove("refused");
  test.hidden = true;
  controls.hidden = false;
  byId("test-map").disabled = true;
}

export function waiting(finding) {
  text.textContent = `Drawing the heat map of ${named(finding)}… Click the finding again to stop.`;
  text.classList.remove("refused");
  test.hidden = true;
}

export function refused(refusal) {
  const { title, text: words, code } = inWords(refusal);
  text.textContent = `${title}. ${words} [${code}]`;
  text.classList.add("refused");
  byId("test-map").disabled = true;
}

/** Say what an answer of /explain says; returns it as one sentence for the listener. */
export function show(explanation) {
  const { target, peak, reason, score, faithfulness } = explanation;
  const said = peak
    ? `${named(target)} (score ${written(score.score)}, ${side(score.positive)}): most evidence in the ${peak.words}.`
    : `No heat map for ${named(target)}. ${reason}`;
  text.textContent = said;
  text.classList.toggle("refused", !peak);
  byId("test-map").disabled = !peak;
  test.hidden = !faithfulness;
  if (faithfulness) test.textContent = faithfully(faithfulness);
  return said;
}

function faithfully({ hottest_tenth: hottest, random_mean: random, better_than: share }) {
  const fall = (by) => (by < 0 ? `rises by ${(-by).toFixed(2)}` : `falls by ${by.toFixed(2)}`);
  return `With the hottest tenth blurred the score ${fall(hottest)}; with random tenths it ` +
    `${fall(random)} on average. The map does better than ${Math.round(100 * share)} % of them.`;
}

/** Fill the warnings, each once; the demo notice is always in view already. */
export function warn(warnings, notice) {
  const shown = [...new Set(warnings)].filter((warning) => warning !== notice);
  byId("warnings-section").hidden = shown.length === 0;
  byId("warnings").replaceChildren(...shown.map((warning) => element("li", "", warning)));
}
