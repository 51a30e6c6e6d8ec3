// What speaks against an answer: it stands above the score, and takes its colour away.

import { byId } from "./dom.js";

/** Whether the answer's image is one of a kind that the model does not know. */
export const isUnusual = (input) => input?.verdict === "unusual";

/** Show or hide it. @param {Object} [input] - As /predict answers it. */
export function show(input) {
  byId("panel").dataset.unusual = String(isUnusual(input));
  byId("doubt").hidden = !isUnusual(input);
  byId("doubt-distance").textContent = input?.distance
    ? `Distance from the reference radiographs: ${input.distance.toFixed(1)} times their median, of which ` +
      `most are within ${input.typical[1].toFixed(1)}.`
    : "";
}
