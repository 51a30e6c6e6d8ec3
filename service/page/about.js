// Which model answers: always in view, asked for before anything is sent.

import { byId, element } from "./dom.js";

/** Show the model and what must be known of it. */
export function showModel(model, notice) {
  const name = `${model.name} ${model.version}`;
  byId("model").textContent = `Model ${name}`;
  byId("model").title = `Model ${name}, weights ${model.weights}, ${model.runtime} ${model.precision}`;
  if (notice) byId("demo").textContent = notice.replace("Not for clinical use.", "").trim();
}

/** Say that it is not known which model will answer. */
export function modelUnknown(why) {
  byId("model").textContent = `Model not known: ${why}`;
  byId("model").title = "";
}

/** Everything by which an answer can be traced. */
export function showFacts({ image, model }) {
  const facts = {
    Image: `${image.width} × ${image.height}, ${image.format}, ${image.bits} bits`,
    "Grey levels": image.intensity,
    "Scored pixels": `SHA-256 ${image.sha256_pixels.slice(0, 16)}…`,
    Model: `${model.name} ${model.version}`,
    Weights: `${model.weights}, SHA-256 ${model.weights_sha256.slice(0, 16)}…`,
    "Runs on": `${model.runtime}, ${model.precision}`,
  };
  byId("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, fact]) => [element("dt", "", name), element("dd", "", fact)]),
  );
}
