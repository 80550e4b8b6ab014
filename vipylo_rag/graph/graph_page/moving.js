// Moving about by mouse, touch and keys.
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const toGraph = (x, y) => [(x - view.width / 2) / view.scale + view.x, (y - view.height / 2) / view.scale + view.y];
const bound = (value, least, most) => Math.min(most, Math.max(least, value));

// The view that shows some nodes, or all of them.
function framed(nodes) {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const i of nodes.length ? nodes : data.x.keys()) {
    const room = data.radius[i] + 14;
    [left, right] = [Math.min(left, data.x[i] - room), Math.max(right, data.x[i] + room)];
    [top, bottom] = [Math.min(top, data.y[i] - room), Math.max(bottom, data.y[i] + room)];
  }
  const scale = Math.min((view.width - 40) / (right - left), (view.height - 70) / (bottom - top));
  return { x: (left + right) / 2, y: (top + bottom) / 2, scale: bound(scale, 0.02, nodes.length ? 1.6 : 2.5) };
}

function resize() {
  const box = document.getElementById("view").getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  const first = !view.width;
  Object.assign(view, { width: box.width, height: box.height });
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
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
    const eased = 1 - (1 - part) ** 3;
    view.scale = from.scale * (target.scale / from.scale) ** eased;
    // Places move as the eye expects only when they are interpolated on the screen, not in the graph.
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
  const [graphX, graphY] = toGraph(x, y);
  view.scale = bound(view.scale * factor, 0.02, 8);
  view.x = graphX - (x - view.width / 2) / view.scale;
  view.y = graphY - (y - view.height / 2) / view.scale;
  draw();
}

const FAR = 200 + Math.max(...data.x.map(Math.abs), ...data.y.map(Math.abs));
function move(dx, dy) {
  cancelAnimationFrame(flight);
  view.x = bound(view.x - dx / view.scale, -FAR, FAR);
  view.y = bound(view.y - dy / view.scale, -FAR, FAR);
  draw();
}

function nodeAt(x, y, reach) {
  let [best, least] = [-1, Infinity];
  for (let i = 0; i < COUNT; i++) {
    if (!visible(i)) continue;
    const [left, top] = toScreen(i);
    const beyond = Math.hypot(left - x, top - y) - sizeOf(i);
    if (beyond <= reach && beyond < least) [best, least] = [i, beyond];
  }
  return best;
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
    if (event.pointerType === "mouse") hover(nodeAt(x, y, 5), x, y);
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
    if (name === "pointerup" && fingers.size === 1 && moved <= 5) choose(nodeAt(...at(event), event.pointerType === "mouse" ? 5 : 16));
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
