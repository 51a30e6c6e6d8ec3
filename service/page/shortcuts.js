// Single keys, wherever the focus is but in a field; they can be switched off.

import { byId } from "./dom.js";

/**
 * Listen for keys.
 * @param {Object<string, function()>} actions - By key, letters in lower case.
 */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !byId("single-keys").checked) return;
    if (document.querySelector("dialog[open]") || writes(event.target)) return;
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Whether an element takes letters for itself. */
function writes(element) {
  return element.matches("select, textarea, input:not([type=range]):not([type=checkbox])");
}
