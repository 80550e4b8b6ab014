// What stands around the graph: search, details, kinds, languages. Data becomes text nodes, never markup.
const MOST_ROWS = 100;

const labelName = (label) => known(`label_${data.labels[label]}`, data.labels[label]);

function swatch(label) {
  const made = element("canvas", { class: "swatch", width: 32, height: 32, "aria-hidden": "true" });
  const target = made.getContext("2d");
  shape(target, data.labels[label], 16, 16, 10);
  target.fillStyle = colourOf(label);
  target.fill();
  return made;
}

// A page's picture, or of a figure that part of its page's.
function image(i) {
  if (is(i, "page")) return pictureOf(i) ? element("img", { src: pictureUrl(i), alt: titleOf(i) }) : null;
  const on = links[i].find((link) => kindOf(link) === "HAS_FIGURE");
  if (!is(i, "figure") || on === undefined || !pictureOf(data.from[on]) || !data.box[i]) return null;
  const page = decodedPicture(data.from[on]);
  const [x0, y0, x1, y1] = data.box[i];
  const cut = element("canvas", { role: "img", "aria-label": titleOf(i) });
  const show = () => {
    [cut.width, cut.height] = [Math.max(1, (x1 - x0) * page.naturalWidth), Math.max(1, (y1 - y0) * page.naturalHeight)];
    cut.getContext("2d").drawImage(page, -x0 * page.naturalWidth, -y0 * page.naturalHeight);
  };
  if (page.naturalWidth) show();
  else page.addEventListener("load", show, { once: true });
  return cut;
}

// A sentence with what was asked for marked in it.
function marked(text, words) {
  const place = words ? text.toLowerCase().indexOf(words.toLowerCase()) : -1;
  if (place < 0) return [text];
  const end = place + words.length;
  return [text.slice(0, place), element("mark", {}, text.slice(place, end)), text.slice(end)];
}

function item(i, note = []) {
  const small = is(i, "page") && pictureOf(i) ? element("img", { src: pictureUrl(i), alt: "", loading: "lazy" }) : swatch(data.label[i]);
  const about = note.length ? note : [is(i, "page") ? data.text[i] : labelName(data.label[i])];
  return element(
    "button",
    { type: "button", class: "item", "aria-current": i === chosen.selected, onclick: () => visit(i) },
    small,
    nameOf(titleOf(i)),
    element("span", { class: "count" }, counted(data.degree[i])),
    element("span", { class: "note" }, ...about),
  );
}

function cardOf(i) {
  const said = links[i].map((link) => data.said[link]).find((one) => Array.isArray(one) && !is(i, "page"));
  const text = element("div", { class: "text" }, ...(said ? marked(...said) : [data.text[i]]));
  return [image(i), nameOf(titleOf(i)), element("div", { class: "quiet" }, factsOf(i)), text];
}

const factsOf = (i) => `${labelName(data.label[i])} · ${say("neighbours", { count: counted(data.degree[i]) })}`;
const paintHovered = draw;

function visit(i) {
  choose(i);
  fly(framed([...around(i)].filter(visible)));
}

// A node's links by relation and direction, the rarest entities first: they say most.
function groupsOf(i) {
  const groups = new Map();
  for (const link of links[i]) {
    const kind = kindOf(link);
    const key = kind === "NEAR" ? "out_NEAR" : `${data.from[link] === i ? "out" : "in"}_${kind}`;
    groups.set(key, [...(groups.get(key) ?? []), link]);
  }
  const rank = (link) => {
    const other = otherEnd(link, i);
    return kindOf(link) === "NEAR" ? -data.said[link] : data.page[other] || data.pages[other];
  };
  for (const some of groups.values()) some.sort((a, b) => rank(a) - rank(b));
  return [...groups].sort(([a], [b]) => a.localeCompare(b));
}

function detailsOf(i) {
  const parts = [
    image(i),
    nameOf(titleOf(i)),
    element("div", { class: "quiet" }, factsOf(i)),
    visible(i) ? null : element("div", { class: "quiet" }, say("hidden")),
    is(i, "page") ? element("div", { class: "text" }, data.text[i] || say("noText")) : null,
  ];
  for (const [key, some] of groupsOf(i)) {
    const kind = key.slice(key.indexOf("_") + 1);
    parts.push(element("h2", {}, known(key, key.startsWith("out") ? `${kind} →` : `← ${kind}`)));
    for (const link of some.slice(0, MOST_ROWS)) {
      const said = data.said[link];
      parts.push(item(otherEnd(link, i), Array.isArray(said) ? marked(...said) : said ? [said.toFixed(3)] : []));
    }
    if (some.length > MOST_ROWS) parts.push(element("p", { class: "quiet" }, say("more", { count: counted(some.length - MOST_ROWS) })));
  }
  return parts;
}

function showLegend() {
  const counts = new Array(data.labels.length).fill(0);
  for (const label of data.label) counts[label]++;
  const rows = data.labels.map((name, label) => {
    const box = element("input", { type: "checkbox", onchange: (event) => (off[event.target.checked ? "delete" : "add"](label), refresh()) });
    box.checked = !off.has(label);
    const only = () => {
      data.labels.forEach((_, other) => off[other === label ? "delete" : "add"](other));
      refresh();
    };
    return element(
      "li",
      {},
      element("label", {}, box, swatch(label), nameOf(labelName(label)), element("span", { class: "count" }, counted(counts[label]))),
      element("button", { type: "button", class: "only", onclick: only }, say("only")),
    );
  });
  byId("legend").replaceChildren(...rows);
}

function showFound() {
  const searched = chosen.query.trim();
  const rows = listed.slice(0, searched ? MOST_ROWS : 25).map((i) => item(i));
  if (!rows.length) rows.push(element("p", { class: "quiet" }, say("nothing")));
  if (searched && listed.length > MOST_ROWS) rows.push(element("p", { class: "quiet" }, say("more", { count: counted(listed.length - MOST_ROWS) })));
  byId("found-title").textContent = say(searched ? "found" : "most");
  byId("found-count").textContent = searched ? say("foundCount", { count: counted(listed.length) }) : "";
  byId("found").replaceChildren(...rows);
}

function refresh() {
  select();
  showLegend();
  showFound();
  draw();
}

function speakOwn() {
  canvas.setAttribute("aria-label", say("graph"));
  const left = data.held - COUNT;
  showAbout([say("aboutNodes"), say("aboutEdges"), left ? say("aboutLeft", { count: counted(left) }) : "", say("keys"), say("aboutFile")]);
  const nodes = left ? say("of", { shown: counted(COUNT), held: counted(data.held) }) : counted(COUNT);
  byId("summary").textContent = say("summary", { nodes, edges: counted(LINKS) });
}

const searched = refresh;
byId("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && listed.length) visit(listed[0]);
});
byId("all").addEventListener("click", () => {
  off.clear();
  refresh();
});
for (const box of [picturesOn, linksOn]) box.addEventListener("change", draw);
picturesOn.parentElement.hidden = !pictures.some(Boolean);
dark.addEventListener("change", speak);
new ResizeObserver(resize).observe(byId("view"));
speak();
