// One file and everything that is known of it: its picture, its findings, its heat maps.

import { Refusal, ask } from "./service.js";
import { fullRange } from "./levels.js";
import { WHOLE } from "./view.js";

let made = 0;

/** Tells of every change with an event "change". */
export class Radiograph extends EventTarget {
  #stop = new AbortController();
  #maps = new Map();
  #asking = null;

  /** waiting, reading, read, refused or cancelled. */
  state = "waiting";
  prediction = null;
  refusal = null;
  /** A file that the browser can draw: the service's preview, or the file itself until then. */
  picture = null;
  /** Why the service drew no preview. */
  previewRefusal = null;
  /** Seconds until a busy service is asked again; 0 where it is not busy. */
  busy = 0;
  startedAt = 0;
  /** How it was looked at last. */
  look = { view: WHOLE, levels: fullRange() };

  constructor(file, name = file.name) {
    super();
    made += 1;
    this.id = made;
    this.file = file;
    this.name = name;
  }

  /** The radiograph's own size in pixels, once the service has told it. */
  get size() {
    return this.prediction?.image ?? null;
  }

  /** Ask for everything; ends when it is there, refused or cancelled. */
  async read(maxBytes) {
    this.#stop = new AbortController();
    this.startedAt = performance.now();
    this.#change({ state: "reading", refusal: null, previewRefusal: null });
    try {
      await this.#check(maxBytes);
      const shown = this.#preview();
      this.prediction = await this.#ask("/predict", {}, (answer) => answer.json());
      this.#change({ state: "read" });
      await shown;
    } catch (fault) {
      this.#fail(fault);
    }
  }

  cancel() {
    this.#stop.abort();
    if (this.state === "waiting") this.#fail(new DOMException("", "AbortError"));
  }

  /**
   * The explanation of a finding, asked for once.
   * @param {Object} fields - target, method, layer, faithfulness.
   * @throws {Refusal} or an AbortError when another map is asked for meanwhile.
   */
  async explain(fields) {
    const key = JSON.stringify(fields);
    this.#asking?.abort();
    if (!this.#maps.has(key)) {
      this.#asking = new AbortController();
      const { signal } = this.#asking;
      const answer = await ask("/explain", this.file, fields, { signal });
      this.#maps.set(key, await answer.json());
    }
    return this.#maps.get(key);
  }

  /** Nobody waits for a heat map any more. */
  stopExplaining() {
    this.#asking?.abort();
  }

  async #check(maxBytes) {
    try {
      await this.file.slice(0, 1).arrayBuffer();
    } catch {
      throw new Refusal("unreadable_file");
    }
    if (maxBytes && this.file.size > maxBytes) {
      const mebibytes = (bytes) => (bytes / 2 ** 20).toFixed(0);
      const limit = `It has ${mebibytes(this.file.size)} MiB; ${mebibytes(maxBytes)} are accepted.`;
      throw new Refusal("too_large", limit, { status: 413 });
    }
    this.picture ??= this.file;
    this.#change({});
  }

  /** The picture as the service sees it; a fault shows when there is nothing to look at instead. */
  async #preview() {
    try {
      this.picture = await this.#ask("/preview", {}, (answer) => answer.blob());
      this.#change({});
    } catch (fault) {
      if (fault.name !== "AbortError") this.#change({ previewRefusal: fault });
    }
  }

  async #ask(path, fields, take) {
    const onBusy = (seconds) => this.#change({ busy: seconds });
    const answer = await ask(path, this.file, fields, { signal: this.#stop.signal, onBusy });
    return take(answer);
  }

  #fail(fault) {
    const stopped = fault.name === "AbortError";
    const refusal = stopped ? new Refusal("cancelled") : fault;
    this.#change({ state: stopped ? "cancelled" : "refused", refusal, busy: 0 });
  }

  #change(changes) {
    Object.assign(this, changes);
    this.dispatchEvent(new Event("change"));
  }
}
