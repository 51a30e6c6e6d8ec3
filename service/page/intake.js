// How files come in: chosen, dropped or pasted.

import { byId } from "./dom.js";

/** Listen for files; `take` is given them as an array. */
export function listen(take) {
  const input = byId("files");
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // the same file may be chosen again
  });

  const drop = byId("drop");
  let inside = 0;
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const over = (by) => {
    inside = by === 0 ? 0 : inside + by;
    drop.hidden = inside <= 0;
  };
  window.addEventListener("dragenter", (event) => carriesFiles(event) && over(1));
  window.addEventListener("dragleave", (event) => carriesFiles(event) && over(-1));
  window.addEventListener("dragover", (event) => event.preventDefault());
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    over(0);
    if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
  });

  document.addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) take([...event.clipboardData.files]);
  });
}

/** Open the browser's own dialog. */
export function choose() {
  byId("files").click();
}
