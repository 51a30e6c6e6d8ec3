// A heat map as a picture: the service's few cells spread as the service itself spreads them, so
// that the hottest spot on the screen is the peak that the answer names.

import { COLOURS } from "./colours.js";

const SIDE = 224; // of the network's input
const REACH = 3; // of the Lanczos filter, in cells

function lanczos(x) {
  if (x === 0) return 1;
  if (Math.abs(x) >= REACH) return 0;
  const p = Math.PI * x;
  return (REACH * Math.sin(p) * Math.sin(p / REACH)) / (p * p);
}

/** For each output pixel, the cells that make it and their weights, which add up to 1. */
function taps(cells) {
  const scale = cells / SIDE;
  return Array.from({ length: SIDE }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - REACH + 0.5));
    const end = Math.min(cells, Math.trunc(centre + REACH + 0.5));
    const weights = [];
    for (let cell = first; cell < end; cell += 1) weights.push(lanczos(cell - centre + 0.5));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/**
 * Spread a map over the network's square.
 * @param {number[][]} values - In [0, 1], row by row.
 * @returns {Float32Array} 224 x 224 in [0, 1], 1 at its peak.
 */
export function spread(values) {
  const filters = taps(values.length);
  const wide = values.map((row) =>
    filters.map(({ first, weights }) => weights.reduce((sum, w, k) => sum + w * row[first + k], 0)),
  );
  const heat = new Float32Array(SIDE * SIDE);
  let peak = 0;
  filters.forEach(({ first, weights }, y) => {
    for (let x = 0; x < SIDE; x += 1) {
      const value = weights.reduce((sum, w, k) => sum + w * wide[first + k][x], 0);
      heat[y * SIDE + x] = Math.max(0, value);
      peak = Math.max(peak, value);
    }
  });
  return heat.map((value) => value / peak);
}

/** Draw a map on a canvas of its own: colour grows with heat from nothing at all. */
export function heatPicture(values) {
  const canvas = new OffscreenCanvas(SIDE, SIDE);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(SIDE, SIDE);
  spread(values).forEach((heat, i) => {
    const level = Math.round(heat * 255);
    picture.data.set([...COLOURS[level], level], 4 * i);
  });
  context.putImageData(picture, 0, 0);
  return canvas;
}

/** Draw the legend: the colours over black, cold to hot. */
export function drawLegend(canvas, opacity) {
  const context = canvas.getContext("2d");
  const { width } = canvas;
  for (let x = 0; x < width; x += 1) {
    const level = Math.round((255 * x) / (width - 1));
    const cover = (level / 255) * opacity;
    const mixed = COLOURS[level].map((part) => Math.round(part * cover + 90 * (1 - cover)));
    context.fillStyle = `rgb(${mixed.join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  }
}
