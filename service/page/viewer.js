// The canvas: the radiograph, the heat map over the square that the network saw, the marks.

import * as levels from "./levels.js";
import { heatPicture } from "./heat.js";
import { WHOLE, layout, panned, zoomed } from "./view.js";

const SHADE = "rgb(0 0 0 / 0.45)";
const LINE = "rgb(120 200 255)";
const BACK = "rgb(0 0 0 / 0.8)";

/** Draws whatever it was given last; every change is drawn with the display's next frame. */
export class Viewer {
  #canvas;
  #context;
  #waiting = false;
  #heat = null;
  #hatch = null;
  #greys = null;
  #size = null;

  explanation = null;
  view = WHOLE;
  levels = levels.fullRange();
  showHeat = false;
  showMarks = true;
  opacity = 0.45;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {function()} onDraw - Called after each drawing.
   */
  constructor(canvas, onDraw) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.onDraw = onDraw;
    new ResizeObserver(() => this.#fitCanvas()).observe(canvas.parentElement);
  }

  /** Show a picture, or null for none; `size` is the radiograph's own, in source pixels. */
  show(greys, size = greys) {
    this.#greys = greys;
    this.#size = size && { width: size.width, height: size.height };
    this.draw();
  }

  /** Lay the picture that is shown out as one of this size, in source pixels. */
  resize(size) {
    if (!this.#greys) return;
    this.#size = { width: size.width, height: size.height };
    this.draw();
  }

  get hasPicture() {
    return this.#greys !== null;
  }

  /** Lay an answer of /explain over the picture, or null for none. */
  explain(explanation) {
    this.explanation = explanation;
    this.#heat = explanation?.map ? heatPicture(explanation.map.values) : null;
    this.draw();
  }

  /** Change properties by name, then draw. */
  set(changes) {
    Object.assign(this, changes);
    this.draw();
  }

  pan(dx, dy) {
    if (!this.#size) return;
    const ratio = this.#ratio;
    this.set({ view: panned(this.view, dx * ratio, dy * ratio, this.#size, this.#canvas) });
  }

  /** Zoom about a point in CSS pixels; the middle where none is named. */
  zoom(factor, point) {
    if (!this.#size) return;
    const ratio = this.#ratio;
    const at = point
      ? { x: point.x * ratio, y: point.y * ratio }
      : { x: this.#canvas.width / 2, y: this.#canvas.height / 2 };
    this.set({ view: zoomed(this.view, factor, at, this.#size, this.#canvas) });
  }

  /** One pixel of the radiograph to one of the display. */
  actualSize() {
    if (this.#size) this.zoom(1 / this.scale);
  }

  /** Device pixels to a source pixel. */
  get scale() {
    return this.#size ? layout(this.view, this.#size, this.#canvas).scale : 1;
  }

  draw() {
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      this.#paint();
      this.onDraw();
    });
  }

  get #ratio() {
    return this.#canvas.width / (this.#canvas.clientWidth || 1);
  }

  #fitCanvas() {
    const { clientWidth, clientHeight } = this.#canvas.parentElement;
    const ratio = window.devicePixelRatio || 1;
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    this.draw();
  }

  #paint() {
    const context = this.#context;
    const { width, height } = this.#canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.#greys) return;
    const size = this.#size;
    const { left, top, scale } = layout(this.view, size, this.#canvas);
    context.setTransform(scale, 0, 0, scale, left, top); // from here on in source pixels
    context.imageSmoothingQuality = "high";
    context.drawImage(this.#greys.painted(this.levels), 0, 0, size.width, size.height);
    if (!this.explanation) return;
    const { map } = this.explanation;
    if (this.showHeat && map) {
      context.save();
      context.beginPath();
      context.rect(...this.#seen(size)); // a letterboxed square reaches past the image
      context.clip();
      context.globalAlpha = this.opacity;
      context.drawImage(this.#heat, map.left, map.top, map.side, map.side);
      context.restore();
    }
    if (this.showMarks) {
      this.#shadeUnseen(size, scale);
      if (this.showHeat && map) this.#mark(1 / scale);
    }
  }

  /** What the network saw of the image: left, top, width and height in source pixels. */
  #seen(size) {
    const { left, top, right, bottom } = this.explanation.unseen;
    return [left, top, size.width - left - right, size.height - top - bottom];
  }

  /** Hatch the margins that the network never saw. */
  #shadeUnseen(size, scale) {
    const { unseen } = this.explanation;
    if (!unseen.share) return;
    const context = this.#context;
    const inside = this.#seen(size);
    context.save();
    const margins = new Path2D();
    margins.rect(0, 0, size.width, size.height);
    margins.rect(...inside);
    context.fillStyle = SHADE;
    context.fill(margins, "evenodd");
    const hatch = this.#hatching();
    hatch.setTransform(new DOMMatrix().scale(1 / scale));
    context.fillStyle = hatch;
    context.fill(margins, "evenodd");
    context.lineWidth = (1 / scale) * this.#ratio;
    context.strokeStyle = "rgb(255 255 255 / 0.55)";
    context.strokeRect(...inside);
    context.restore();
  }

  #hatching() {
    if (!this.#hatch) {
      const side = Math.round(10 * this.#ratio);
      const tile = new OffscreenCanvas(side, side);
      const context = tile.getContext("2d");
      context.strokeStyle = "rgb(255 255 255 / 0.22)";
      context.lineWidth = this.#ratio;
      for (const shift of [-side, 0, side]) {
        context.moveTo(shift, side);
        context.lineTo(shift + side, 0);
      }
      context.stroke();
      this.#hatch = this.#context.createPattern(tile, "repeat");
    }
    return this.#hatch;
  }

  /** The box around the hottest region, and a cross at the peak; `unit` is a device pixel. */
  #mark(unit) {
    const { box, peak } = this.explanation;
    if (!box || !peak) return;
    const context = this.#context;
    const thin = unit * this.#ratio;
    const arm = 7 * thin;
    const [x, y] = [peak.column + 0.5, peak.row + 0.5];
    const shape = new Path2D();
    shape.rect(box.left, box.top, box.width, box.height);
    shape.moveTo(x - arm, y);
    shape.lineTo(x + arm, y);
    shape.moveTo(x, y - arm);
    shape.lineTo(x, y + arm);
    for (const [colour, wide] of [[BACK, 3.5], [LINE, 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide * thin;
      context.stroke(shape);
    }
  }
}
