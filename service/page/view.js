// Where the picture lies on the display: zoom and centre, whatever the sizes of the two.

const CLOSEST = 32;
const VISIBLE = 0.1; // of the display that the picture must keep covering, at the least

/** Zoom 1 shows the whole picture; the centre is the point shown in the middle, in [0, 1]. */
export const WHOLE = Object.freeze({ zoom: 1, x: 0.5, y: 0.5 });

/**
 * Lay the picture out.
 * @param {{zoom: number, x: number, y: number}} view
 * @param {{width: number, height: number}} picture - In source pixels.
 * @param {{width: number, height: number}} display - In device pixels.
 * @returns {{left: number, top: number, scale: number}} The picture's corner in device pixels, and
 *   device pixels to a source pixel.
 */
export function layout(view, picture, display) {
  const scale = fitScale(picture, display) * view.zoom;
  return {
    scale,
    left: display.width / 2 - view.x * picture.width * scale,
    top: display.height / 2 - view.y * picture.height * scale,
  };
}

/** Device pixels to a source pixel when the whole picture is shown. */
export function fitScale(picture, display) {
  return Math.min(display.width / picture.width, display.height / picture.height);
}

/** Zoom by a factor so that the point at (x, y) of the display stays where it is. */
export function zoomed(view, factor, point, picture, display) {
  const zoom = Math.min(CLOSEST, Math.max(1, view.zoom * factor));
  const at = layout(view, picture, display);
  const source = { x: (point.x - at.left) / at.scale, y: (point.y - at.top) / at.scale };
  const scale = fitScale(picture, display) * zoom;
  return kept({
    zoom,
    x: (source.x + (display.width / 2 - point.x) / scale) / picture.width,
    y: (source.y + (display.height / 2 - point.y) / scale) / picture.height,
  }, picture, display);
}

/** Move the picture by device pixels. */
export function panned(view, dx, dy, picture, display) {
  const { scale } = layout(view, picture, display);
  return kept({
    zoom: view.zoom,
    x: view.x - dx / (picture.width * scale),
    y: view.y - dy / (picture.height * scale),
  }, picture, display);
}

/** The same view with the picture not pushed out of sight; the whole picture is centred. */
function kept(view, picture, display) {
  if (view.zoom === 1) return WHOLE;
  const { scale } = layout(view, picture, display);
  const hold = (centre, length, room) => {
    const spare = ((0.5 - VISIBLE) * room) / (length * scale);
    return Math.min(1 + spare, Math.max(-spare, centre));
  };
  return {
    zoom: view.zoom,
    x: hold(view.x, picture.width, display.width),
    y: hold(view.y, picture.height, display.height),
  };
}
