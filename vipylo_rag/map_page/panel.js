// What stands around the map: search, details, legend, near-duplicates, languages. Data becomes text nodes, never markup.
const MOST_ROWS = 200;
let tab = "legend";

const titleOf = (i) => `${shortName(i)} · ${say("page", { page: data.page[i] })}`;

function image(i) {
  return pictureOf(i) ? element("img", { src: pictureUrl(i), alt: titleOf(i) }) : null;
}

function item(i, note) {
  const small = pictureOf(i)
    ? element("img", { src: pictureUrl(i), alt: "", loading: "lazy" })
    : element("span", { class: "blank" });
  return element(
    "button",
    { type: "button", class: "item", "aria-current": i === chosen.selected, onclick: () => visit(i) },
    small,
    nameOf(titleOf(i)),
    element("span", { class: "quiet" }, note ?? data.text[i]),
  );
}

function cardOf(i) {
  const text = element("div", { class: "text" }, data.text[i] || say("noText"));
  return [image(i), nameOf(fileName(i)), element("div", {}, say("page", { page: data.page[i] })), text];
}

const paintHovered = paintMarks;

function visit(i) {
  choose(i);
  const [x, y] = toScreen(i);
  const inside = x > 40 && y > 40 && x < view.width - 40 && y < view.height - 40;
  if (!inside || view.scale < 4 * restingScale()) fly(framed([i]));
}

function detailsOf(i) {
  const parts = [
    image(i),
    nameOf(fileName(i)),
    element("div", { class: "quiet" }, `${say("page", { page: data.page[i] })} · ${data.kinds[data.kind[i]]}`),
    shown[i] ? null : element("div", { class: "quiet" }, say("hiddenNow")),
    element("div", { class: "text" }, data.text[i] || say("noText")),
  ];
  if (data.group[i] >= 0) {
    const twins = data.groups[data.group[i]].members.filter((other) => other !== i);
    parts.push(element("h2", {}, say("twinsOf")), ...twins.slice(0, 20).map((other) => item(other)));
    if (twins.length > 20) parts.push(element("p", { class: "quiet" }, say("more", { count: counted(twins.length - 20) })));
  }
  if (data.alike[i].length) {
    parts.push(element("h2", {}, say("similar")));
    parts.push(...data.alike[i].map((other, n) => item(other, (data.cosines[i][n] / 1000).toFixed(3))));
  }
  return parts;
}

function swatch(colour, shape) {
  const made = element("canvas", { width: 36, height: 36, "aria-hidden": "true" });
  const target = made.getContext("2d");
  trace(target, shape, 18, 18, 11);
  target.fillStyle = colour;
  target.fill();
  return made;
}

function legendRow(grouping, part, colour, shape, highlights) {
  const change = (event) => {
    grouping.off[event.target.checked ? "delete" : "add"](part);
    refresh();
  };
  const only = () => {
    grouping.names.forEach((_, other) => grouping.off[other === part ? "delete" : "add"](other));
    refresh();
  };
  const highlight = (value) => () => {
    if (highlights) chosen.highlighted = value;
    draw();
  };
  const box = element("input", { type: "checkbox", onchange: change });
  box.checked = !grouping.off.has(part);
  return element(
    "li",
    { onpointerenter: highlight(part), onpointerleave: highlight(-1) },
    element("label", {}, box, swatch(colour, shape), nameOf(grouping.names[part] || say("top")), element("span", { class: "count" }, counted(grouping.counts[part]))),
    element("button", { type: "button", class: "only", onclick: only }, say("only")),
  );
}

function showLegend() {
  const grouping = groupings[chosen.by];
  const words = lowered(byId("legend-query").value).split(/\s+/).filter(Boolean).map(plain);
  const passing = grouping.order.filter((part) => words.every((word) => plain(lowered(grouping.names[part])).includes(word)));
  const shape = (part) => (chosen.by === "kind" ? shapeOf(part) : "circle");
  byId("legend-list").replaceChildren(
    ...passing.slice(0, MOST_ROWS).map((part) => legendRow(grouping, part, colourOf(part), shape(part), true)),
  );
  byId("legend-query").hidden = grouping.names.length <= 12;
  const notes = [];
  if (passing.length > MOST_ROWS) notes.push(say("more", { count: counted(passing.length - MOST_ROWS) }));
  if (grouping.names.length > COLOURED) notes.push(say("grey", { count: COLOURED }));
  byId("legend-more").textContent = notes.join(" ");
  const kinds = groupings.kind;
  byId("shape-list").replaceChildren(...kinds.order.map((part) => legendRow(kinds, part, GREYS[theme()], shapeOf(part), false)));
  byId("shape-list").hidden = byId("shape-list").previousElementSibling.hidden = chosen.by === "kind";
}

function showTwins() {
  const groups = data.groups.slice(0, MOST_ROWS).map((group) => {
    const label = group.same ? say("same") : `≥ ${group.least.toFixed(3)}`;
    const go = () => {
      choose(group.members[0]);
      fly(framed(group.members));
    };
    const members = group.members.slice(0, 6).map((i) => item(i));
    if (group.members.length > 6) members.push(element("p", { class: "quiet" }, `+ ${counted(group.members.length - 6)}`));
    return element(
      "div",
      { class: "group" },
      element("button", { type: "button", class: "fly", onclick: go }, say("groupOf", { count: counted(group.members.length) }), element("span", { class: "badge" }, label)),
      ...members,
    );
  });
  const rest = data.groups.length - groups.length;
  if (!groups.length) groups.push(element("p", { class: "quiet" }, say("noTwins")));
  if (rest > 0) groups.push(element("p", { class: "quiet" }, say("more", { count: counted(rest) })));
  byId("twins").replaceChildren(...groups);
}

function showFound() {
  const rows = listed.slice(0, MOST_ROWS).map((i) => item(i));
  if (!rows.length) rows.push(element("p", { class: "quiet" }, say("nothing")));
  if (listed.length > MOST_ROWS) rows.push(element("p", { class: "quiet" }, say("more", { count: counted(listed.length - MOST_ROWS) })));
  byId("found").replaceChildren(...rows);
}

const tabs = { legend: showLegend, twins: showTwins, found: showFound };

function showTab(name) {
  tab = name;
  for (const other of Object.keys(tabs)) {
    byId(other).hidden = other !== name;
    byId(`tab-${other}`).setAttribute("aria-selected", other === name);
    byId(`tab-${other}`).tabIndex = other === name ? 0 : -1;
  }
  tabs[name]();
}

function refresh() {
  select();
  byId("found-count").textContent = chosen.query.trim() ? say("foundCount", { count: counted(listed.length) }) : "";
  byId("tab-found").textContent = say("found", { count: counted(listed.length) });
  tabs[tab]();
  draw();
}

function tellAll() {
  const shownOf = { shown: counted(COUNT), held: counted(data.held) };
  showAbout([
    data.method === "umap" ? say("aboutUmap") : say("aboutPca", { share: Math.round(100 * data.share) }),
    data.why === "asked" ? "" : say(`why_${data.why}`),
    say("aboutTwins", { threshold: data.threshold, pairs: counted(data.pairs) }),
    data.uncompared ? say("uncompared", { count: counted(data.uncompared) }) : "",
    COUNT < data.held ? say("aboutSample", shownOf) : "",
    pictures.some(Boolean) ? say("aboutPictures", { side: data.pictures.side }) : "",
    data.pictures.left_out && pictures.some(Boolean) ? say("leftOut", { count: counted(data.pictures.left_out) }) : "",
    data.pictures.unreadable ? say("unreadable", { count: counted(data.pictures.unreadable) }) : "",
    say("keys"),
    say("aboutFile"),
  ]);
  const pages = COUNT < data.held ? say("of", shownOf) : counted(COUNT);
  const method = say(data.method) + (data.why === "missing" ? ` (${say("why_missing")})` : "");
  byId("summary").textContent = say("summary", { pages, documents: counted(data.sources.length), method });
}

function speakOwn() {
  canvas.setAttribute("aria-label", say("map"));
  for (const option of byId("colour-by").options) option.textContent = say(option.value);
  byId("colour-by").value = chosen.by;
  byId("tab-legend").textContent = say("legend");
  byId("tab-twins").textContent = say("twins", { count: counted(data.groups.length) });
  nameField("legend-query", "findFile");
  tellAll();
}

function searched() {
  if (chosen.query.trim()) showTab("found");
  refresh();
}

byId("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && listed.length) fly(framed(chosen.query.trim() ? listed : []));
});
byId("legend-query").addEventListener("input", showLegend);
byId("colour-by").addEventListener("change", (event) => {
  chosen.by = event.target.value;
  byId("legend-query").value = "";
  refresh();
});
byId("all").addEventListener("click", () => {
  groupings[chosen.by].off.clear();
  refresh();
});
byId("none").addEventListener("click", () => {
  groupings[chosen.by].names.forEach((_, part) => groupings[chosen.by].off.add(part));
  refresh();
});
for (const name of Object.keys(tabs)) byId(`tab-${name}`).addEventListener("click", () => showTab(name));
byId("tabs").addEventListener("keydown", (event) => {
  const order = Object.keys(tabs);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (step) {
    showTab(order[(order.indexOf(tab) + step + order.length) % order.length]);
    byId(`tab-${tab}`).focus();
  }
});
picturesOn.addEventListener("change", draw);
byId("pictures-switch").hidden = !pictures.some(Boolean);
dark.addEventListener("change", () => {
  stamps.clear();
  refresh();
});
new ResizeObserver(resize).observe(byId("view"));
showTab("legend");
speak();
