// The drawing: points, small pictures where there is room, and moving about by mouse, touch and keys.
const canvas = document.getElementById("canvas");
const brush = canvas.getContext("2d");
const marks = document.getElementById("marks"); // above the points: hovering must not draw 50,000 of them anew
const marker = marks.getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const view = { x: 32768, y: 32768, scale: 0.01, width: 0, height: 0 };
const PALETTES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#8a8a1f", "#332288", "#44aa99"],
  dark: ["#4fa8e0", "#ff8a3d", "#2cc79a", "#e59ac4", "#f5b83d", "#a5dcff", "#d4679b", "#c9c95a", "#a99df5", "#7fd6c8"],
};
const GREYS = { light: "#9aa0a6", dark: "#717a84" };
const SHAPES = ["circle", "square", "diamond", "triangle", "hexagon", "wedge", "cross"];
const MOST_PICTURES = 240;
const MOST_MOVING = 12000; // points drawn while the map moves
const PICTURES_UNTIL = 600; // with more pages in sight, pictures would hide what the map shows
const picturesOn = document.getElementById("pictures-on");
picturesOn.checked = pictures.some(Boolean);

const theme = () => (dark.matches ? "dark" : "light");
const ink = () => getComputedStyle(document.body).getPropertyValue("--ink").trim();
const accent = () => getComputedStyle(document.body).getPropertyValue("--accent").trim();

function colourOf(part) {
  const rank = groupings[chosen.by].rank[part];
  return rank < COLOURED ? PALETTES[theme()][rank] : GREYS[theme()];
}

const shapeOf = (kind) => SHAPES[Math.min(groupings.kind.rank[kind], SHAPES.length - 1)];
const corners = { square: [4, 45], diamond: [4, 0], triangle: [3, 30], hexagon: [6, 0], wedge: [3, 90] };

function trace(target, shape, x, y, radius) {
  target.beginPath();
  if (shape === "circle") {
    target.arc(x, y, radius, 0, 2 * Math.PI);
  } else if (shape === "cross") {
    const arm = radius * 0.42;
    const steps = [[-arm, -radius], [arm, -radius], [arm, -arm], [radius, -arm], [radius, arm], [arm, arm]];
    [...steps, ...steps.map(([dx, dy]) => [-dx, -dy])].forEach(([dx, dy]) => target.lineTo(x + dx, y + dy));
    target.closePath();
  } else {
    const [count, turn] = corners[shape];
    for (let n = 0; n < count; n++) {
      const angle = ((turn + (360 * n) / count) * Math.PI) / 180;
      target.lineTo(x + radius * 1.2 * Math.cos(angle), y + radius * 1.2 * Math.sin(angle));
    }
    target.closePath();
  }
}

// A point drawn once for each look, and copied from then on: 50,000 copies take some milliseconds.
const stamps = new Map();

function stamp(colour, shape, radius, ringed) {
  const key = `${colour} ${shape} ${radius} ${ringed}`;
  if (!stamps.has(key)) {
    const ratio = devicePixelRatio || 1;
    const half = Math.ceil(radius * 1.25 + (ringed ? 4.5 : 1.5));
    const made = document.createElement("canvas");
    made.width = made.height = Math.ceil(2 * half * ratio);
    const target = made.getContext("2d");
    target.scale(ratio, ratio);
    if (ringed) {
      trace(target, "circle", half, half, radius + 3);
      target.lineWidth = 1.6;
      target.strokeStyle = ink();
      target.stroke();
    }
    trace(target, shape, half, half, radius);
    target.fillStyle = colour;
    target.fill();
    target.lineWidth = 0.8;
    target.strokeStyle = dark.matches ? "rgb(0 0 0 / 55%)" : "rgb(255 255 255 / 85%)";
    if (radius > 2.5) target.stroke();
    stamps.set(key, { made, half });
  }
  return stamps.get(key);
}

const restingScale = () => Math.min(view.width, view.height) / 72000;

function radiusNow() {
  const narrow = view.width < 600 ? 0.75 : 1;
  const base = narrow * (COUNT < 300 ? 7 : COUNT < 2000 ? 5 : COUNT < 10000 ? 3.5 : 2.2);
  const grown = base * Math.max(1, view.scale / restingScale()) ** 0.35;
  return Math.round(2 * Math.min(9, grown)) / 2;
}

const toScreen = (i) => [
  (data.x[i] - view.x) * view.scale + view.width / 2,
  (data.y[i] - view.y) * view.scale + view.height / 2,
];
const toMap = (x, y) => [(x - view.width / 2) / view.scale + view.x, (y - view.height / 2) / view.scale + view.y];

let moving = 0;
function keepMoving() {
  if (COUNT <= MOST_MOVING) return;
  clearTimeout(moving);
  moving = setTimeout(() => {
    moving = 0;
    draw();
  }, 150);
}

let waiting = false;
function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    paint();
  });
}

let frames = []; // pictures as they were drawn last: [page, left, top, width, height]

function paint() {
  const ratio = devicePixelRatio || 1;
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, view.width, view.height);
  const { of } = groupings[chosen.by];
  const radius = radiusNow();
  const inSight = [];
  const looks = new Map();
  const look = (part, kind, ringed) => {
    const key = (part * data.kinds.length + kind) * 2 + ringed;
    if (!looks.has(key)) looks.set(key, stamp(colourOf(part), shapeOf(kind), radius, ringed === 1));
    return looks.get(key);
  };
  const left = view.x - (view.width / 2 + 20) / view.scale;
  const right = view.x + (view.width / 2 + 20) / view.scale;
  const top = view.y - (view.height / 2 + 20) / view.scale;
  const bottom = view.y + (view.height / 2 + 20) / view.scale;
  const dims = chosen.highlighted >= 0 || listed.length < COUNT;
  const most = moving ? Math.min(COUNT, MOST_MOVING) : COUNT; // pages come in random order: the first are a fair sample
  const { rank, names } = groupings[chosen.by];
  const level = (i, part) => {
    if (!matched[i] || (chosen.highlighted >= 0 && chosen.highlighted !== part)) return 0;
    return rank[part] < COLOURED ? 2 : 1;
  };
  const levels = [dims && 0, names.length > COLOURED && 1, 2].filter((one) => one !== false);
  for (const now of levels) { // dimmed ones lie below, then grey ones
    brush.globalAlpha = now ? (COUNT > 10000 ? 0.85 : 1) : 0.16;
    for (let i = 0; i < most; i++) {
      const [x, y] = [data.x[i], data.y[i]];
      if (!shown[i] || x < left || x > right || y < top || y > bottom) continue;
      const part = of[i];
      if (level(i, part) !== now) continue;
      const { made, half } = look(part, data.kind[i], data.group[i] >= 0 ? 1 : 0);
      brush.drawImage(
        made,
        Math.round((x - view.x) * view.scale + view.width / 2) - half, // whole pixels: twice as fast
        Math.round((y - view.y) * view.scale + view.height / 2) - half,
        2 * half,
        2 * half,
      );
      if (now) inSight.push(i);
    }
  }
  brush.globalAlpha = 1;
  paintPictures(inSight);
  paintMarks();
}

function paintMarks() {
  const ratio = devicePixelRatio || 1;
  marker.setTransform(ratio, 0, 0, ratio, 0, 0);
  marker.clearRect(0, 0, view.width, view.height);
  for (const [i, width] of [[chosen.hovered, 2], [chosen.selected, 3.5]]) {
    if (i >= 0 && shown[i]) paintMark(i, width);
  }
}

// Decoded pictures, those used last at the end.
const decoded = new Map();

function decodedPicture(i) {
  const key = data.picture[i];
  let image = decoded.get(key);
  if (image) decoded.delete(key);
  else {
    image = new Image();
    image.onload = draw;
    image.src = pictureUrl(i);
    if (decoded.size > 2 * MOST_PICTURES) decoded.delete(decoded.keys().next().value);
  }
  decoded.set(key, image);
  return image;
}

// As many pictures as stand side by side without covering each other; the other pages stay points.
function paintPictures(inSight) {
  frames = [];
  if (!picturesOn.checked || inSight.length > PICTURES_UNTIL) return;
  const zoomed = Math.max(1, view.scale / restingScale());
  const side = Math.min(150, (view.width < 600 ? 34 : 46) * zoomed ** 0.6);
  const { of } = groupings[chosen.by];
  const wanted = inSight.includes(chosen.selected) ? [chosen.selected] : [];
  for (const i of new Set([...wanted, ...inSight])) {
    if (frames.length >= MOST_PICTURES) break;
    if (!pictureOf(i)) continue;
    const image = decodedPicture(i);
    const shape = image.naturalWidth ? image.naturalWidth / image.naturalHeight : 0.72;
    const width = Math.min(side, side * shape);
    const height = width / shape;
    const [x, y] = toScreen(i);
    const [left, top] = [x - width / 2, y - height / 2];
    const free = frames.every(
      ([, l, t, w, h]) => left + width + 3 < l || l + w + 3 < left || top + height + 3 < t || t + h + 3 < top,
    );
    if (!free) continue;
    frames.push([i, left, top, width, height]);
    if (!image.naturalWidth) continue;
    brush.fillStyle = "#fff";
    brush.fillRect(left, top, width, height);
    brush.drawImage(image, left, top, width, height);
    brush.lineWidth = 2.5;
    brush.strokeStyle = colourOf(of[i]);
    brush.strokeRect(left, top, width, height);
    if (data.group[i] >= 0) {
      brush.lineWidth = 1.4;
      brush.strokeStyle = ink();
      brush.strokeRect(left - 3, top - 3, width + 6, height + 6);
    }
  }
}

function paintMark(i, width) {
  const [x, y] = toScreen(i);
  const frame = frames.find(([page]) => page === i);
  marker.lineWidth = width;
  marker.strokeStyle = accent();
  if (frame) marker.strokeRect(frame[1] - 5, frame[2] - 5, frame[3] + 10, frame[4] + 10);
  else {
    trace(marker, "circle", x, y, radiusNow() + 6);
    marker.stroke();
  }
}

function resize() {
  const box = document.getElementById("view").getBoundingClientRect();
  const ratio = devicePixelRatio || 1;
  const first = !view.width;
  Object.assign(view, { width: box.width, height: box.height });
  canvas.width = marks.width = Math.round(box.width * ratio);
  canvas.height = marks.height = Math.round(box.height * ratio);
  stamps.clear();
  if (first) Object.assign(view, framed([]));
  paint();
}

// The view that shows some pages, or all of them; never so near that only one page is left to compare with.
function framed(pages) {
  let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
  const reach = (i) => {
    [left, right] = [Math.min(left, data.x[i]), Math.max(right, data.x[i])];
    [top, bottom] = [Math.min(top, data.y[i]), Math.max(bottom, data.y[i])];
  };
  if (pages.length) pages.forEach(reach);
  else for (let i = 0; i < COUNT; i++) reach(i);
  const margin = Math.min(60, view.width / 8);
  const scale = Math.min(
    (view.width - 2 * margin) / Math.max(1, right - left),
    (view.height - 2 * margin) / Math.max(1, bottom - top),
  );
  const nearestScale = pages.length ? Math.min(view.width, view.height) / 9000 : Infinity;
  return { x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.min(scale, nearestScale, MOST_SCALE()) };
}

const MOST_SCALE = () => Math.max(view.width, view.height) / 150;
const LEAST_SCALE = () => Math.min(view.width, view.height) / 300000;

let flight = 0;
function fly(target) {
  cancelAnimationFrame(flight);
  const from = { ...view };
  const began = performance.now();
  const step = (now) => {
    const part = calm.matches ? 1 : Math.min(1, (now - began) / 420);
    keepMoving();
    const eased = 1 - (1 - part) ** 3;
    view.scale = from.scale * (target.scale / from.scale) ** eased;
    // Places move as the eye expects only when they are interpolated on the screen, not on the map.
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
  keepMoving();
  const [mapX, mapY] = toMap(x, y);
  view.scale = Math.min(MOST_SCALE(), Math.max(LEAST_SCALE(), view.scale * factor));
  view.x = mapX - (x - view.width / 2) / view.scale;
  view.y = mapY - (y - view.height / 2) / view.scale;
  draw();
}

function move(dx, dy) {
  cancelAnimationFrame(flight);
  keepMoving();
  view.x = Math.min(80000, Math.max(-15000, view.x - dx / view.scale));
  view.y = Math.min(80000, Math.max(-15000, view.y - dy / view.scale));
  draw();
}

function pageAt(x, y, reach) {
  const frame = frames.find(([, left, top, width, height]) => x >= left && x <= left + width && y >= top && y <= top + height);
  return frame ? frame[0] : nearest(...toMap(x, y), (radiusNow() + reach) / view.scale);
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
    if (event.pointerType === "mouse") hover(pageAt(x, y, 6), x, y);
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
    const [x, y] = at(event);
    if (name === "pointerup" && fingers.size === 1 && moved <= 5) choose(pageAt(x, y, event.pointerType === "mouse" ? 6 : 16));
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
    zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * 0.0022), ...at(event));
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
