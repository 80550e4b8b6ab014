// Elements are made here and nowhere else: text goes in as text, never as markup, so no file name or page can bring code.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props`: class, dataset, on (event -> listener), properties of the element, or attributes. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name.includes("-") || ["role", "for", "href", "src", "download", "tabindex"].includes(name)) {
      element.setAttribute(name, value === true ? "" : value);
    } else element[name] = value;
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replace what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** A picture from the sprite; it says nothing to screen readers, the control around it does. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Say something to screen readers; the text is cleared first, so that the same words are read again. */
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}

let toastTimer = 0;

/** A short note at the bottom that goes by itself. */
export function toast(text) {
  const element = byId("toast");
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => {
    element.hidden = true;
  }, 4000);
}

/** Open a dialog: Escape and the backdrop close it, Tab stays inside, focus goes back where it was. */
export function openDialog(dialog, onClose = () => {}) {
  const before = document.activeElement;
  const keys = (event) => {
    if (event.key !== "Tab") return;
    const stops = [...dialog.querySelectorAll("a[href], button, input, select, textarea, [tabindex='0']")].filter(
      (stop) => !stop.disabled && stop.tabIndex >= 0 && stop.offsetParent !== null,
    );
    const [first, last] = [stops[0], stops.at(-1)];
    if (!first) return;
    const inside = dialog.contains(document.activeElement) && document.activeElement !== dialog;
    if (event.shiftKey && (document.activeElement === first || !inside)) {
      event.preventDefault();
      last.focus();
    } else if (!event.shiftKey && (document.activeElement === last || !inside)) {
      event.preventDefault();
      first.focus();
    }
  };
  const pressed = (event) => {
    if (event.target === dialog) dialog.close();
  };
  dialog.addEventListener("keydown", keys);
  dialog.addEventListener("pointerdown", pressed);
  dialog.addEventListener(
    "close",
    () => {
      dialog.removeEventListener("keydown", keys);
      dialog.removeEventListener("pointerdown", pressed);
      if (before?.isConnected) before.focus();
      onClose(dialog.returnValue);
    },
    { once: true },
  );
  dialog.returnValue = "";
  dialog.showModal();
}
