// The API key: asked for where the service wants one, held in memory only.

import { byId } from "./dom.js";
import { useKey } from "./service.js";

const dialog = byId("key-dialog");
const field = byId("key-field");

/** Listen for a key; `onKey` is called when one was typed. */
export function listen(onKey) {
  byId("key").addEventListener("click", () => askForKey());
  byId("enter-key").addEventListener("click", () => askForKey());
  byId("key-close").addEventListener("click", () => dialog.close());
  byId("key-form").addEventListener("submit", () => {
    useKey(field.value.trim());
    field.value = "";
    onKey();
  });
}

/** Open the form; `again` where a key was tried that is not known. */
export function askForKey(again = false) {
  byId("key").hidden = false;
  byId("key-text").textContent = again
    ? "This key is not known. Try another one."
    : "This service asks for a key. It is kept in this page's memory only and is gone when the page is closed.";
  if (!dialog.open) dialog.showModal();
  field.focus();
}
