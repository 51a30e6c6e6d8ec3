// The heat map's colours: a helix in CIELAB on which equal steps look equal. The same as the
// service draws in its pictures; a test holds the two tables against each other.

const LIGHTNESS = [22, 88];
const CENTRE_A = -5;
const RADIUS = 74;
const START = (-55 * Math.PI) / 180;
const TURN = (156 * Math.PI) / 180;
const WHITE = [0.95047, 1, 1.08883]; // D65
const XYZ_TO_LINEAR = [
  [3.2404542, -1.5371385, -0.4985314],
  [-0.969266, 1.8760108, 0.041556],
  [0.0556434, -0.2040259, 1.0572252],
]; // IEC 61966-2-1

function colour(position) {
  const hue = START + TURN * position;
  const lightness = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * position;
  const fy = (lightness + 16) / 116;
  const f = [fy + (CENTRE_A + RADIUS * Math.cos(hue)) / 500, fy, fy - (RADIUS * Math.sin(hue)) / 200];
  const knee = 6 / 29;
  const xyz = f.map((v, i) => WHITE[i] * (v > knee ? v ** 3 : 3 * knee ** 2 * (v - 4 / 29)));
  return XYZ_TO_LINEAR.map((row) => {
    const linear = Math.min(1, Math.max(0, row.reduce((sum, part, i) => sum + part * xyz[i], 0)));
    const encoded = linear <= 0.0031308 ? 12.92 * linear : 1.055 * linear ** (1 / 2.4) - 0.055;
    return Math.round(encoded * 255);
  });
}

/** 256 colours [red, green, blue] in 0 to 255, coldest first. */
export const COLOURS = Array.from({ length: 256 }, (_, i) => colour(i / 255));
