// What stands around a drawing: search, details, languages. Data becomes text nodes, never markup. What the page has of its
// own: `chosen` and `listed`; titleOf(i), cardOf(i) and detailsOf(i) of an item; paintHovered() when another is pointed at;
// visit(i) goes to one; searched() when the search is another; refresh() shows all anew; speakOwn() in another language.
const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const nameOf = (text) => element("span", { class: "name" }, text);

function hover(i, x = 0, y = 0) {
  const card = byId("hover");
  canvas.classList.toggle("over", i >= 0);
  if (i !== chosen.hovered) {
    chosen.hovered = i;
    card.hidden = i < 0;
    if (i >= 0) card.replaceChildren(...cardOf(i).filter(Boolean));
    paintHovered();
  }
  if (i >= 0) {
    const left = x + 18 + card.offsetWidth < view.width ? x + 18 : x - 18 - card.offsetWidth;
    card.style.left = `${Math.max(6, Math.min(left, view.width - card.offsetWidth - 6))}px`;
    card.style.top = `${Math.max(6, Math.min(y - 30, view.height - card.offsetHeight - 6))}px`;
  }
}

function choose(i) {
  chosen.selected = i;
  showDetails();
  draw();
  if (i >= 0) {
    byId("said").textContent = titleOf(i);
    byId("panel").scrollTop = 0;
  }
}

function stepTo(direction) {
  if (!listed.length) return;
  const place = listed.indexOf(chosen.selected);
  const next = place < 0 ? (direction > 0 ? 0 : listed.length - 1) : (place + direction + listed.length) % listed.length;
  visit(listed[next]);
}

function showDetails() {
  const i = chosen.selected;
  byId("details").hidden = i < 0;
  if (i < 0) return;
  const close = element("button", { type: "button", class: "close", "aria-label": say("close"), onclick: () => choose(-1) }, "×");
  byId("details").replaceChildren(...[close, ...detailsOf(i)].filter(Boolean));
}

function showAbout(lines) {
  byId("about").replaceChildren(...lines.filter(Boolean).map((line) => element("p", {}, line)));
}

function speak() {
  document.documentElement.lang = language;
  byId("language").value = language;
  document.title = byId("title").textContent = say("heading", { title: data.title });
  for (const part of document.querySelectorAll("[data-word]")) part.textContent = say(part.dataset.word);
  for (const [id, word] of Object.entries({ "zoom-in": "zoomIn", "zoom-out": "zoomOut", fit: "fit", "about-button": "about" })) {
    byId(id).setAttribute("aria-label", say(word));
    byId(id).title = say(word);
  }
  nameField("query", "find");
  speakOwn();
  showDetails();
  refresh();
}

// A field's name, also in it as long as it is empty.
function nameField(id, word) {
  byId(id).setAttribute("aria-label", say(word));
  byId(id).title = byId(id).placeholder = say(word);
}

byId("language").addEventListener("change", (event) => {
  language = event.target.value;
  speak();
});
byId("about-button").addEventListener("click", () => {
  byId("about").hidden = !byId("about").hidden;
  byId("about-button").setAttribute("aria-expanded", !byId("about").hidden);
});
let typing = 0;
byId("query").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => {
    chosen.query = event.target.value;
    searched();
  }, 120);
});
byId("zoom-in").addEventListener("click", () => zoom(1.5));
byId("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
byId("fit").addEventListener("click", () => fly(framed([])));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) {
    event.preventDefault();
    byId("query").focus();
  }
});
