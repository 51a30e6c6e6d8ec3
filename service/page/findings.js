// The findings as bars: pneumonia on top, then the positive ones, each group by its score.

import { element } from "./dom.js";

export const PNEUMONIA = "Pneumonia";

/** A finding's name as one writes it; the weights join words with underscores. */
export const named = (finding) => finding.replaceAll("_", " ");

const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;

/** In words, which side of its operating point a finding is on. */
export const side = (positive) => (positive ? "above its operating point" : "not above its operating point");

/** Names in the order in which they are shown. */
export function ordered(pathologies) {
  const rank = ([name, found]) => (name === PNEUMONIA ? 0 : found.positive ? 1 : 2);
  return Object.entries(pathologies)
    .sort((a, b) => rank(a) - rank(b) || b[1].score - a[1].score)
    .map(([name]) => name);
}

/**
 * Fill the list.
 * @param {HTMLUListElement} list
 * @param {Object} pathologies - As /predict answers them.
 * @param {function(string)} onClick - Told the finding.
 */
export function fill(list, pathologies, onClick) {
  list.replaceChildren(...ordered(pathologies).map((name) => {
    const button = row(name, pathologies[name]);
    button.addEventListener("click", () => onClick(name));
    return element("li", "", button);
  }));
}

/** Mark the finding whose heat map is shown; null for none. */
export function press(list, finding) {
  for (const button of list.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.finding === finding));
  }
}

function row(name, { score, probability, positive }) {
  const bar = element("span", "bar", element("span", "bar-fill"), element("span", "bar-point"));
  bar.firstChild.style.width = `${100 * score}%`;
  const button = element(
    "button",
    positive ? "finding positive" : "finding",
    element("span", "finding-name", named(name)),
    bar,
    element("span", "finding-score", score.toFixed(2)),
    element("span", "finding-probability", percent(probability)),
  );
  button.type = "button";
  button.dataset.finding = name;
  button.title = "Show or hide its heat map";
  button.setAttribute("aria-pressed", "false");
  button.setAttribute(
    "aria-label",
    `${named(name)}: score ${score.toFixed(2)}, ${side(positive)}; probability ${percent(probability)}`,
  );
  return button;
}
