// Window and level: which greys of the picture become black, white and what lies between.

const FULL = { window: 256, level: 128, inverted: false };

/** The settings of one radiograph, as immutable values. */
export function fullRange() {
  return FULL;
}

/** The same settings, moved; window 2 to 512, level 0 to 255. */
export function moved(levels, window, level) {
  return {
    ...levels,
    window: Math.min(512, Math.max(2, levels.window + window)),
    level: Math.min(255, Math.max(0, levels.level + level)),
  };
}

/** Settings as a reader writes them. */
export function inWords({ window, level, inverted }) {
  return `W ${Math.round(window)}  L ${Math.round(level)}${inverted ? "  inverted" : ""}`;
}

/** A picture's greys with their own canvas, painted anew when the settings change. */
export class Greys {
  #grey;
  #pixels;
  #image;
  #context;
  #painted = null;

  /** @param {ImageBitmap} bitmap - As large as the greys are to be; taken over and closed. */
  constructor(bitmap) {
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.canvas = new OffscreenCanvas(this.width, this.height);
    this.#context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.#context.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#image = this.#context.getImageData(0, 0, this.width, this.height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.#grey = new Uint8Array(this.#pixels.length);
    const { data } = this.#image;
    for (let i = 0, j = 0; i < this.#grey.length; i += 1, j += 4) {
      // ITU-R BT.601, as the service turns colour into grey; exact where the three are equal.
      this.#grey[i] = (data[j] * 19595 + data[j + 1] * 38470 + data[j + 2] * 7471 + 32768) >> 16;
    }
  }

  /** The canvas, with the greys under these settings. */
  painted(levels) {
    if (this.#painted !== levels) {
      const table = lookup(levels);
      const { length } = this.#grey;
      for (let i = 0; i < length; i += 1) this.#pixels[i] = table[this.#grey[i]];
      this.#context.putImageData(this.#image, 0, 0);
      this.#painted = levels;
    }
    return this.canvas;
  }
}

/** For each of 256 greys the opaque pixel that it becomes (little-endian RGBA). */
function lookup({ window, level, inverted }) {
  return Uint32Array.from({ length: 256 }, (_, grey) => {
    const position = (grey + 0.5 - (level - window / 2)) / window;
    const shown = Math.min(255, Math.max(0, Math.floor(position * 256)));
    const out = inverted ? 255 - shown : shown;
    return (0xff000000 | (out << 16) | (out << 8) | out) >>> 0;
  });
}
