// Dark, for dark rooms, unless the reader chooses light or the system's own.

import { byId } from "./dom.js";

const STORED = "theme";
const system = matchMedia("(prefers-color-scheme: light)");

function stored() {
  try {
    return localStorage.getItem(STORED) ?? "dark";
  } catch {
    return "dark"; // storage is switched off
  }
}

function apply(choice) {
  const light = choice === "light" || (choice === "system" && system.matches);
  document.documentElement.dataset.theme = light ? "light" : "dark";
}

/** Apply the choice of last time and listen for another. */
export function listen() {
  const select = byId("theme");
  select.value = stored();
  if (!select.value) select.value = "dark";
  apply(select.value);
  system.addEventListener("change", () => apply(select.value));
  select.addEventListener("change", () => {
    apply(select.value);
    try {
      localStorage.setItem(STORED, select.value);
    } catch {
      // Kept for as long as the page is open, then.
    }
  });
}
