// Pointer, wheel and arrow keys over the radiograph, told as what the reader wants.

const WHEEL = 0.0016; // of a zoom by e, to a pixel of wheel
const ARROW = 40; // display pixels to a press
const GREYS = 8; // to a press

/**
 * Listen on the stage.
 * @param {HTMLElement} stage
 * @param {{pan: function(number, number), zoom: function(number, {x: number, y: number}),
 *   greys: function(number, number), toggleWhole: function({x: number, y: number}),
 *   tool: function(): string}} wants - Distances in CSS pixels of the stage; `tool` says what one
 *   pointer that drags does: "window" or "move".
 */
export function listen(stage, wants) {
  const pointers = new Map();
  let moves = false;

  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    moves = event.button !== 0 || event.shiftKey || wants.tool() === "move";
  });

  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    if (pointers.size === 2) {
      pinch(pointers, event.pointerId, now, wants);
    } else if (pointers.size === 1) {
      (moves ? wants.pan : wants.greys)(now.x - before.x, now.y - before.y);
    }
    pointers.set(event.pointerId, now);
  });

  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }

  stage.addEventListener("contextmenu", (event) => event.preventDefault());

  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
    const finger = event.ctrlKey ? 6 : 1; // a pinch on a touchpad comes as small steps with ctrl
    wants.zoom(Math.exp(-event.deltaY * lines * finger * WHEEL), at(event));
  }, { passive: false });

  stage.addEventListener("dblclick", (event) => wants.toggleWhole(at(event)));

  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [x, y] = step[event.key] ?? [0, 0];
    if (!(x || y) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (event.shiftKey) wants.greys(x * GREYS, y * GREYS);
    else wants.pan(-x * ARROW, -y * ARROW);
  });
}

/** Two fingers: their distance zooms, their middle moves. */
function pinch(pointers, id, now, wants) {
  const [other] = [...pointers].filter(([key]) => key !== id).map(([, point]) => point);
  const before = pointers.get(id);
  const distance = (point) => Math.hypot(point.x - other.x, point.y - other.y);
  wants.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  if (distance(before) > 0) {
    wants.zoom(distance(now) / distance(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
  }
}
