// The drawing: points, small pictures where there is room, and what lies where.
const marks = document.createElement("canvas"); // above the points: hovering must not draw 50,000 of them anew
marks.id = "marks";
marks.setAttribute("aria-hidden", "true");
canvas.after(marks);
const marker = marks.getContext("2d");
const PALETTES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#8a8a1f", "#332288", "#44aa99"],
  dark: ["#4fa8e0", "#ff8a3d", "#2cc79a", "#e59ac4", "#f5b83d", "#a5dcff", "#d4679b", "#c9c95a", "#a99df5", "#7fd6c8"],
};
const GREYS = { light: "#9aa0a6", dark: "#717a84" };
const SHAPES = ["circle", "square", "diamond", "triangle", "hexagon", "wedge", "cross"];
const MOST_PICTURES = 240;
const MOST_MOVING = 12000; // points drawn while the map moves
const PICTURES_UNTIL = 600; // with more pages in sight, pictures would hide what the map shows
picturesOn.checked = pictures.some(Boolean);

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

let moving = 0;
whileMoving = () => {
  if (COUNT <= MOST_MOVING) return;
  clearTimeout(moving);
  moving = setTimeout(() => {
    moving = 0;
    draw();
  }, 150);
};

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

onResize = () => {
  [marks.width, marks.height] = [canvas.width, canvas.height];
  stamps.clear();
};

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
  return { x: (left + right) / 2, y: (top + bottom) / 2, scale: Math.min(scale, nearestScale, scales()[1]) };
}

const scales = () => [Math.min(view.width, view.height) / 300000, Math.max(view.width, view.height) / 150];
const REACH = [-15000, 80000];

function itemAt(x, y, pointer) {
  const frame = frames.find(([, left, top, width, height]) => x >= left && x <= left + width && y >= top && y <= top + height);
  return frame ? frame[0] : nearest(...fromScreen(x, y), (radiusNow() + (pointer === "mouse" ? 6 : 16)) / view.scale);
}
