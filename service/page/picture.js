// From a file that a browser can draw to greys that can be windowed.

import { Greys } from "./levels.js";

const LONGEST = 2048; // as the service's own preview

/**
 * Decode a picture.
 * @param {Blob} blob
 * @returns {Promise<Greys|null>} null where the browser cannot draw it.
 */
export async function decode(blob) {
  try {
    const bitmap = await createImageBitmap(blob);
    const scale = LONGEST / Math.max(bitmap.width, bitmap.height);
    if (scale >= 1) return new Greys(bitmap);
    const small = await createImageBitmap(bitmap, {
      resizeWidth: Math.round(bitmap.width * scale),
      resizeHeight: Math.round(bitmap.height * scale),
      resizeQuality: "high",
    });
    bitmap.close();
    return new Greys(small);
  } catch {
    return null;
  }
}
