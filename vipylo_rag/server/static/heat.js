// Draws the shares of a page's score: the heat map on a canvas, and boxes around words.

import { fill, h } from "./dom.js";

const LONGEST = 900;
// From what adds little to what adds most; light enough that print stays readable below.
const COLOURS = [
  [255, 214, 90],
  [249, 148, 38],
  [226, 61, 40],
  [168, 16, 74],
];

/** Draw a grid of shares over a page of width x height pixels. What lies below the middle of all shares stays clear. */
export function drawHeat(canvas, heat, width, height) {
  const small = document.createElement("canvas");
  small.width = heat.columns;
  small.height = heat.rows;
  const pixels = new ImageData(heat.columns, heat.rows);
  const ranked = [...heat.shares].sort((a, b) => a - b);
  const low = Math.max(0, ranked[Math.floor(ranked.length / 2)]);
  const high = ranked[Math.floor((ranked.length - 1) * 0.995)];
  heat.shares.forEach((share, at) => {
    const strength = high > low ? Math.min(1, Math.max(0, (share - low) / (high - low))) : 0;
    const [red, green, blue] = colour(strength);
    pixels.data.set([red, green, blue, Math.round(255 * strength ** 0.7)], at * 4);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  const ratio = Math.min(1, LONGEST / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

export function clearHeat(canvas) {
  canvas.width = 1;
  canvas.height = 1;
}

function colour(strength) {
  const place = strength * (COLOURS.length - 1);
  const from = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[from].map((part, at) => Math.round(part + (COLOURS[from + 1][at] - part) * (place - from)));
}

// Words side by side on a line become one box: a sentence reads as one, not as a row of bricks.
function joined(boxes) {
  const rows = [];
  for (const box of boxes) {
    const last = rows.at(-1);
    const height = box.y1 - box.y0;
    const beside = last && Math.abs(box.y0 - last.y0) < height / 3 && Math.abs(box.y1 - last.y1) < height / 3;
    if (beside && box.x0 > last.x0 && box.x0 - last.x1 < height * 0.9) {
      Object.assign(last, { x1: box.x1, y0: Math.min(box.y0, last.y0), y1: Math.max(box.y1, last.y1) });
    } else rows.push({ ...box });
  }
  return rows;
}

/** A box given in fractions of the page; `kind` says what it is: "match", "passage", "pointed". */
export function boxElement(box, kind) {
  const element = h("span", { class: `box ${kind}` });
  element.style.left = `${box.x0 * 100}%`;
  element.style.top = `${box.y0 * 100}%`;
  element.style.width = `${(box.x1 - box.x0) * 100}%`;
  element.style.height = `${(box.y1 - box.y0) * 100}%`;
  return element;
}

export function drawBoxes(place, boxes, kind) {
  fill(place, joined(boxes).map((box) => boxElement(box, kind)));
}
