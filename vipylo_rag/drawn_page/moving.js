// Moving about in a drawing by mouse, touch and keys. What the page has of its own:
// paint() draws; framed(items) is the view that shows some items, or all; itemAt(x, y, pointer) is what lies there or -1;
// scales() and REACH are the bounds of view.scale and of view.x and view.y.
const canvas = document.getElementById("canvas");
const brush = canvas.getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const picturesOn = document.getElementById("pictures-on");
const view = { x: 0, y: 0, scale: 1, width: 0, height: 0 };
let whileMoving = () => {}; // a page may set these two
let onResize = () => {};

const theme = () => (dark.matches ? "dark" : "light");
const bound = (value, least, most) => Math.min(most, Math.max(least, value));
const toScreen = (i) => [
  (data.x[i] - view.x) * view.scale + view.width / 2,
  (data.y[i] - view.y) * view.scale + view.height / 2,
];
const fromScreen = (x, y) => [(x - view.width / 2) / view.scale + view.x, (y - view.height / 2) / view.scale + view.y];

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    paint();
  });
}

function resize() {
  const box = document.getElementById("view").getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  const first = !view.width;
  Object.assign(view, { width: box.width, height: box.height });
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  onResize();
  if (first) Object.assign(view, framed([]));
  paint();
}

let flight = 0;
function fly(target) {
  cancelAnimationFrame(flight);
  const from = { ...view };
  const began = performance.now();
  const step = (now) => {
    const part = calm.matches ? 1 : bound((now - began) / 420, 0, 1);
    whileMoving();
    const eased = 1 - (1 - part) ** 3;
    view.scale = from.scale * (target.scale / from.scale) ** eased;
    // Places move as the eye expects only when they are interpolated on the screen, not in the drawing.
    const along = target.scale === from.scale ? eased : (1 / view.scale - 1 / from.scale) / (1 / target.scale - 1 / from.scale);
    view.x = from.x + (target.x - from.x) * along;
    view.y = from.y + (target.y - from.y) * along;
    paint();
    if (part < 1) flight = requestAnimationFrame(step);
  };
  step(calm.matches ? began + 1000 : began);
}

function zoom(factor, x = view.width / 2, y = view.height / 2) {
  cancelAnimationFrame(flight);
  whileMoving();
  const [heldX, heldY] = fromScreen(x, y);
  view.scale = bound(view.scale * factor, ...scales());
  view.x = heldX - (x - view.width / 2) / view.scale;
  view.y = heldY - (y - view.height / 2) / view.scale;
  draw();
}

function move(dx, dy) {
  cancelAnimationFrame(flight);
  whileMoving();
  view.x = bound(view.x - dx / view.scale, ...REACH);
  view.y = bound(view.y - dy / view.scale, ...REACH);
  draw();
}

const fingers = new Map();
let moved = 0;
const at = (event) => [event.offsetX, event.offsetY];

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (!fingers.size) moved = 0;
  fingers.set(event.pointerId, at(event));
});
canvas.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  const before = fingers.get(event.pointerId);
  if (!before) {
    if (event.pointerType === "mouse") hover(itemAt(x, y, event.pointerType), x, y);
    return;
  }
  const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
  moved += Math.hypot(x - before[0], y - before[1]);
  if (others.length) {
    const [ox, oy] = others[0];
    zoom(Math.hypot(x - ox, y - oy) / Math.max(1, Math.hypot(before[0] - ox, before[1] - oy)), (x + ox) / 2, (y + oy) / 2);
    move((x - before[0]) / 2, (y - before[1]) / 2);
  } else if (moved > 5) {
    canvas.classList.add("held");
    hover(-1);
    move(x - before[0], y - before[1]);
  }
  fingers.set(event.pointerId, [x, y]);
});
for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    if (name === "pointerup" && fingers.size === 1 && moved <= 5) choose(itemAt(...at(event), event.pointerType));
    fingers.delete(event.pointerId);
    if (!fingers.size) canvas.classList.remove("held");
  });
}
canvas.addEventListener("pointerleave", () => hover(-1));
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 20 : 1;
    zoom(Math.exp(-bound(event.deltaY * lines, -120, 120) * 0.0022), ...at(event));
  },
  { passive: false },
);
canvas.addEventListener("dblclick", (event) => zoom(1.8, ...at(event)));
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const step = 60;
  const actions = {
    ArrowLeft: () => move(step, 0), ArrowRight: () => move(-step, 0), ArrowUp: () => move(0, step),
    ArrowDown: () => move(0, -step), "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3),
    0: () => fly(framed([])), Home: () => fly(framed([])), n: () => stepTo(1), p: () => stepTo(-1),
    Escape: () => choose(-1),
  };
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});
