// The findings as bars: pneumonia on top, then the positive ones, each group by its score.

import { element } from "./dom.js";

export const PNEUMONIA = "Pneumonia";

/** A finding's name as one writes it; the weights join words with underscores. */
export const named = (finding) => finding.replaceAll("_", " ");

/** A probability as it is written. */
export const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

/** A score as it is written: two digits, three where two would hide which side it is on. */
export function written(score) {
  const short = score.toFixed(2);
  return ["0.00", "0.50", "1.00"].includes(short) ? score.toFixed(3) : short;
}

/** In words, which side of its operating point a finding is on. */
export const side = (positive) => (positive ? "above its operating point" : "not above its operating point");

/** In words, what the site's own file says of a finding; empty where it says nothing. */
export const atSite = (site) =>
  site ? `At this site ${site.decision}, calibrated probability ${percent(site.calibrated_probability)}.` : "";

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

function row(name, { score, probability, positive, site }) {
  const bar = element("span", "bar", element("span", "bar-fill"), element("span", "bar-point"));
  bar.firstChild.style.width = `${100 * score}%`;
  const button = element(
    "button",
    positive ? "finding positive" : "finding",
    element("span", "finding-name", named(name)),
    bar,
    element("span", "finding-score", written(score)),
    element("span", "finding-probability", percent(probability)),
  );
  button.type = "button";
  button.dataset.finding = name;
  button.title = site ? `Show or hide its heat map. ${atSite(site)}` : "Show or hide its heat map";
  button.setAttribute("aria-pressed", "false");
  button.setAttribute(
    "aria-label",
    `${named(name)}: score ${written(score)}, ${side(positive)}; probability ${percent(probability)}${site ? `. ${atSite(site)}` : ""}`,
  );
  return button;
}
