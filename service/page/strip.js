// The files as a strip of small pictures, each with its state in words.

import { element } from "./dom.js";
import { isUnusual } from "./doubt.js";
import { written } from "./findings.js";

const SIDE = 72;

/** In a few words, where a file stands. */
export function stateInWords({ state, prediction }) {
  if (state === "read" && isUnusual(prediction.input)) return `${written(prediction.score)} unusual`;
  if (state === "read") {
    return `${written(prediction.score)} ${prediction.positive ? "positive" : "negative"}`;
  }
  return { waiting: "waiting", reading: "reading…", refused: "refused", cancelled: "cancelled" }[state];
}

/** The strip; one button a radiograph. */
export class Strip {
  #list;
  #tiles = new Map();

  /**
   * @param {HTMLUListElement} list
   * @param {{select: function(Radiograph), remove: function(Radiograph)}} wants
   */
  constructor(list, wants) {
    this.#list = list;
    this.wants = wants;
  }

  add(radiograph) {
    const picture = element("canvas", "tile-picture");
    picture.width = picture.height = SIDE;
    const name = element("span", "tile-name", radiograph.name);
    const state = element("span", "tile-state");
    const open = element("button", "tile-open", picture, element("span", "tile-words", name, state));
    open.type = "button";
    open.title = radiograph.name;
    open.addEventListener("click", () => this.wants.select(radiograph));
    const remove = element("button", "tile-remove", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Close ${radiograph.name}`);
    remove.title = "Close";
    remove.addEventListener("click", () => this.wants.remove(radiograph));
    const tile = element("li", "tile", open, remove);
    this.#list.append(tile);
    this.#tiles.set(radiograph, { tile, open, picture, state, drawn: null });
    this.update(radiograph);
  }

  remove(radiograph) {
    this.#tiles.get(radiograph)?.tile.remove();
    this.#tiles.delete(radiograph);
  }

  /** Mark the radiograph that is being looked at. */
  select(radiograph) {
    for (const [other, { open }] of this.#tiles) {
      if (other === radiograph) {
        open.setAttribute("aria-current", "true");
        open.scrollIntoView({ block: "nearest", inline: "nearest" });
      } else {
        open.removeAttribute("aria-current");
      }
    }
  }

  focus(radiograph) {
    this.#tiles.get(radiograph)?.open.focus();
  }

  update(radiograph) {
    const held = this.#tiles.get(radiograph);
    if (!held) return;
    held.state.textContent = stateInWords(radiograph);
    held.tile.dataset.state = radiograph.state;
    const { prediction } = radiograph;
    held.tile.dataset.positive = String(Boolean(prediction?.positive) && !isUnusual(prediction.input));
    if (radiograph.picture && radiograph.picture !== held.drawn) {
      held.drawn = radiograph.picture;
      drawSmall(held.picture, radiograph.picture);
    }
  }
}

async function drawSmall(canvas, blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob);
  } catch {
    return; // DICOM until its preview arrives, or no image at all
  }
  const scale = SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.clearRect(0, 0, SIDE, SIDE);
  context.drawImage(bitmap, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  bitmap.close();
}
