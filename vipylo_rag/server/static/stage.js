// The viewer's stage: a sheet that is zoomed and moved by wheel, drag, pinch and keys.

import { number } from "./i18n.js";

const MOST = 8;
const STEP = 1.25;
const PAN = 80;

export class Stage {
  /** `turn(step)` is called for left and right where the whole page is in sight, so that there is nothing to move. */
  constructor({ stage, sheet, value, turn }) {
    Object.assign(this, { stage, sheet, value, turn });
    this.size = [0, 0];
    this.fitted = true;
    this.scale = 1;
    this.at = [0, 0];
    this.pointers = new Map();
    new ResizeObserver(() => (this.fitted ? this.fit() : this.apply())).observe(stage);
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("dblclick", (event) => (this.fitted ? this.zoom(2, this.place(event)) : this.fit()));
    stage.addEventListener("keydown", (event) => this.key(event));
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    for (const type of ["pointerup", "pointercancel"]) stage.addEventListener(type, (event) => this.up(event));
  }

  /** A sheet of another size, in pixels. */
  resize(width, height) {
    this.size = [width, height];
    this.sheet.style.width = `${width}px`;
    this.sheet.style.height = `${height}px`;
    this.fit();
  }

  /** The whole page, in the middle. */
  fit() {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this.stage;
    if (!width || !clientWidth) return;
    this.fitted = true;
    this.scale = this.least();
    this.at = [(clientWidth - width * this.scale) / 2, (clientHeight - height * this.scale) / 2];
    this.apply();
  }

  least() {
    const margin = 24;
    return Math.min((this.stage.clientWidth - margin) / this.size[0], (this.stage.clientHeight - margin) / this.size[1], 2);
  }

  /** Zoom by a factor around a point of the stage; its middle without one. */
  zoom(factor, place = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    const least = this.least();
    const scale = Math.min(Math.max(this.scale * factor, least), Math.max(MOST, least));
    if (scale <= least * 1.001) {
      this.fit();
      return;
    }
    this.fitted = false;
    this.at = this.at.map((start, axis) => place[axis] - ((place[axis] - start) * scale) / this.scale);
    this.scale = scale;
    this.apply();
  }

  pan(x, y) {
    this.at = [this.at[0] + x, this.at[1] + y];
    this.apply();
  }

  /** Bring a box, in fractions of the page, into sight without zooming out. */
  reveal({ x0, y0, x1, y1 }) {
    const { clientWidth, clientHeight } = this.stage;
    const middle = [((x0 + x1) / 2) * this.size[0] * this.scale, ((y0 + y1) / 2) * this.size[1] * this.scale];
    if (this.fitted) return;
    this.at = [clientWidth / 2 - middle[0], clientHeight / 2 - middle[1]];
    this.apply();
  }

  apply() {
    const room = [this.stage.clientWidth, this.stage.clientHeight];
    this.at = this.at.map((start, axis) => {
      const long = this.size[axis] * this.scale;
      return long <= room[axis] ? (room[axis] - long) / 2 : Math.min(0, Math.max(room[axis] - long, start));
    });
    this.sheet.style.transform = `translate(${this.at[0]}px, ${this.at[1]}px) scale(${this.scale})`;
    this.sheet.style.setProperty("--scale", this.scale);
    this.value.textContent = `${number(this.scale * 100)} %`;
    this.stage.classList.toggle("movable", !this.fitted);
  }

  place(event) {
    const edge = this.stage.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoom(Math.exp((-event.deltaY * lines) / 400), this.place(event));
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [x, y] = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] }[event.key] ?? [];
    if (x === undefined) return;
    event.preventDefault();
    if (!this.fitted) this.pan(x, y);
    else if (x) this.turn(x > 0 ? -1 : 1);
  }

  down(event) {
    if (event.button) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.place(event));
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.place(event);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
      this.zoom(apart(now) / apart(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
    } else if (!this.fitted) this.pan(now[0] - before[0], now[1] - before[1]);
    this.pointers.set(event.pointerId, now);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
  }
}

export { STEP as ZOOM_STEP };
