// The radiographs that are open and the one that is looked at.

import { Radiograph } from "./radiograph.js";
import { enqueue } from "./queue.js";

/** Tells with events "select" (another radiograph, or none) and "change" (of the one in detail). */
export class Desk extends EventTarget {
  radiographs = [];
  current = null;
  /** Bytes that the service takes; unknown at first. */
  maxBytes = 0;

  /** Open files; the first of them is looked at. */
  add(files) {
    const added = files.map((file) => new Radiograph(file));
    for (const radiograph of added) {
      this.radiographs.push(radiograph);
      radiograph.addEventListener("change", () => this.#tell("change", radiograph));
      this.#tell("add", radiograph);
      this.read(radiograph);
    }
    if (added.length) this.select(added[0]);
  }

  /** Have a radiograph scored when its turn comes; again, if it was before. */
  read(radiograph) {
    Object.assign(radiograph, { state: "waiting", refusal: null });
    this.#tell("change", radiograph);
    enqueue(async () => {
      if (radiograph.state === "waiting") await radiograph.read(this.maxBytes);
    });
  }

  /** Those that were refused for want of a key are read again. */
  readRefusedForKey() {
    this.radiographs.filter(({ refusal }) => refusal?.status === 401).forEach((one) => this.read(one));
  }

  select(radiograph) {
    if (radiograph === this.current) return;
    this.current = radiograph;
    this.#tell("select", radiograph);
  }

  /** Look at the next radiograph (1) or the one before (-1). */
  step(by) {
    const at = this.radiographs.indexOf(this.current) + by;
    if (this.radiographs[at]) this.select(this.radiographs[at]);
  }

  /** Close a radiograph; its neighbour is looked at. */
  remove(radiograph) {
    const at = this.radiographs.indexOf(radiograph);
    radiograph.cancel();
    this.radiographs.splice(at, 1);
    this.#tell("remove", radiograph);
    if (radiograph === this.current) {
      this.select(this.radiographs[at] ?? this.radiographs[at - 1] ?? null);
    }
  }

  #tell(what, radiograph) {
    this.dispatchEvent(new CustomEvent(what, { detail: radiograph }));
  }
}
