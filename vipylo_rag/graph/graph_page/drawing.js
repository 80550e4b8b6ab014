// The drawing: links, nodes as shapes or small pictures, and as many names as have room.
const linksOn = document.getElementById("links-on");
const OURS = ["document", "page", "figure", "name", "code", "date", "amount", "heading", "term"];
const COLOURS = {
  light: ["#1c2127", "#6d7680", "#8a5a00", "#0072b2", "#c2410c", "#7b3fa0", "#007a57", "#a4336d", "#52707a"],
  dark: ["#e8eaed", "#a2acb6", "#f5b83d", "#56b4e9", "#ff8a5c", "#c79bea", "#3fcf9f", "#f08bbd", "#9cc3cf"],
};
const FURTHER = { light: ["#5b6b00", "#a02c2c", "#005f73"], dark: ["#c9d65a", "#ff9c9c", "#6fd3e3"] };
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function colourOf(label) {
  const place = OURS.indexOf(data.labels[label]);
  return place >= 0 ? COLOURS[theme()][place] : FURTHER[theme()][label % 3];
}

const sizeOf = (i) => Math.max(2.5, data.radius[i] * Math.min(view.scale, 2.2));

function shape(target, label, x, y, size) {
  target.beginPath();
  if (label === "document") target.roundRect(x - size * 0.72, y - size * 0.9, size * 1.44, size * 1.8, size * 0.25);
  else if (label === "page") target.rect(x - size * 0.6, y - size * 0.8, size * 1.2, size * 1.6);
  else if (label === "figure") {
    for (const [dx, dy] of [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]]) target.lineTo(x + dx * size, y + dy * size);
    target.closePath();
  } else target.arc(x, y, size, 0, 2 * Math.PI);
}

const decoded = new Map();

function decodedPicture(i) {
  const key = data.picture[i];
  if (!decoded.has(key)) {
    const image = new Image();
    image.onload = draw;
    image.src = pictureUrl(i);
    decoded.set(key, image);
  }
  return decoded.get(key);
}

function paint() {
  const ratio = devicePixelRatio || 1;
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, view.width, view.height);
  const focus = chosen.hovered >= 0 ? chosen.hovered : chosen.selected;
  const near = focus >= 0 ? around(focus) : null;
  const searched = listed.length < COUNT && chosen.query.trim();
  const lit = (i) => (near ? near.has(i) : !searched || matched[i]);
  paintLinks(focus, lit);
  const inside = (i) => {
    const [x, y] = toScreen(i);
    return visible(i) && x > -80 && y > -80 && x < view.width + 80 && y < view.height + 80;
  };
  const shown = order.filter(inside);
  for (const pass of [false, true]) {
    for (const i of shown) if (Boolean(lit(i)) === pass) paintNode(i, pass);
  }
  paintNames(shown, lit, focus);
}

function paintLinks(focus, lit) {
  const edge = style("--edge");
  for (let link = 0; link < LINKS; link++) {
    const [a, b] = [data.from[link], data.to[link]];
    const touched = a === focus || b === focus;
    if (!visible(a) || !visible(b) || !(touched || data.strong[link] || linksOn.checked)) continue;
    const kind = kindOf(link);
    const faint = focus >= 0 ? !touched : !(lit(a) && lit(b));
    brush.globalAlpha = faint ? 0.08 : touched ? 0.95 : kind === "MENTIONS" ? 0.42 : 0.6;
    brush.strokeStyle = touched ? style("--accent") : kind === "MENTIONS" ? colourOf(data.label[b]) : edge;
    brush.lineWidth = touched ? 1.8 : kind === "HAS_PAGE" ? 1.6 : 1;
    brush.setLineDash(kind === "NEAR" ? [5, 4] : kind === "NEXT" ? [1, 3] : []);
    brush.beginPath();
    brush.moveTo(...toScreen(a));
    brush.lineTo(...toScreen(b));
    brush.stroke();
  }
  brush.setLineDash([]);
  brush.globalAlpha = 1;
}

function paintNode(i, isLit) {
  const [x, y] = toScreen(i);
  const size = sizeOf(i);
  const colour = colourOf(data.label[i]);
  brush.globalAlpha = isLit ? 1 : 0.14;
  const image = is(i, "page") && picturesOn.checked && size > 7 && pictureOf(i) ? decodedPicture(i) : null;
  if (image && image.naturalWidth) {
    const fit = Math.min((2 * size) / image.naturalHeight, (2 * size) / image.naturalWidth);
    const [width, height] = [image.naturalWidth * fit, image.naturalHeight * fit];
    brush.fillStyle = "#fff";
    brush.fillRect(x - width / 2, y - height / 2, width, height);
    brush.drawImage(image, x - width / 2, y - height / 2, width, height);
    brush.strokeStyle = colour;
    brush.lineWidth = 1.2;
    brush.strokeRect(x - width / 2, y - height / 2, width, height);
  } else {
    shape(brush, labelOf(i), x, y, size);
    brush.fillStyle = is(i, "page") ? style("--paper") : colour;
    brush.fill();
    brush.lineWidth = 1.2;
    brush.strokeStyle = is(i, "page") ? colour : style("--ground");
    brush.stroke();
  }
  if (i === chosen.selected || i === chosen.hovered) {
    brush.globalAlpha = 1;
    brush.beginPath();
    brush.arc(x, y, size + 6, 0, 2 * Math.PI);
    brush.lineWidth = i === chosen.selected ? 3 : 1.8;
    brush.strokeStyle = style("--accent");
    brush.stroke();
  }
  brush.globalAlpha = 1;
}

const short = (text, most) => ([...text].length > most ? `${[...text].slice(0, most - 1).join("")}…` : text);

// Names where no other name and no node of importance stands; of what is pointed at, all.
function paintNames(shown, lit, focus) {
  const taken = [];
  brush.textAlign = "center";
  brush.textBaseline = "middle";
  brush.lineJoin = "round";
  const [ink, ground] = [style("--ink"), style("--ground")];
  const first = focus >= 0 ? [focus, ...shown.filter((i) => i !== focus && lit(i))] : shown.filter(lit);
  const most = Math.max(12, (view.width * view.height) / 14000);
  for (const i of first) {
    if (taken.length > most) break;
    if (focus < 0 && view.scale < 1.1 && (is(i, "page") || data.name[i].startsWith("#"))) continue;
    const [x, y] = toScreen(i);
    const size = sizeOf(i);
    const bold = is(i, "document") || i === focus;
    brush.font = `${bold ? 600 : 400} ${bold ? 13 : 12}px system-ui, "Noto Sans", "Noto Sans CJK SC", sans-serif`;
    const name = is(i, "page") ? say("page", { page: data.page[i] }) : short(data.name[i], i === focus ? 60 : 26);
    const half = brush.measureText(name).width / 2 + 3;
    const places = [y + size + 10, y - size - 9];
    const place = places.find((at) => taken.every(([l, t, r, b]) => x + half < l || x - half > r || at + 8 < t || at - 8 > b));
    if (place === undefined && i !== focus) continue;
    const at = place ?? places[0];
    taken.push([x - half, at - 8, x + half, at + 8]);
    brush.lineWidth = 3.5;
    brush.strokeStyle = ground;
    brush.strokeText(name, x, at);
    brush.fillStyle = bold ? ink : colourOf(data.label[i]);
    brush.fillText(name, x, at);
  }
}

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

const FAR = 200 + Math.max(...data.x.map(Math.abs), ...data.y.map(Math.abs));
const REACH = [-FAR, FAR];
const scales = () => [0.02, 8];

function itemAt(x, y, pointer) {
  const reach = pointer === "mouse" ? 5 : 16;
  let [best, least] = [-1, Infinity];
  for (let i = 0; i < COUNT; i++) {
    if (!visible(i)) continue;
    const [left, top] = toScreen(i);
    const beyond = Math.hypot(left - x, top - y) - sizeOf(i);
    if (beyond <= reach && beyond < least) [best, least] = [i, beyond];
  }
  return best;
}
