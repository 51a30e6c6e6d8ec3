// Making elements. Text is only ever text: nothing here reads markup.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A new element with a class and children, strings becoming text. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** Say something to those who hear the page rather than see it. */
export function announce(text) {
  byId("announce").textContent = text;
}
