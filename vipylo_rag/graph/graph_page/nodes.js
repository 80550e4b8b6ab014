// The nodes and links: what is known of them, which are shown, and which match the search.
const LINKS = data.from.length;
const chosen = { selected: -1, hovered: -1, query: "" };

const labelOf = (i) => data.labels[data.label[i]];
const is = (i, label) => labelOf(i) === label;
const off = new Set(); // labels that are not shown
const visible = (i) => !off.has(data.label[i]);
const links = Array.from({ length: COUNT }, () => []); // of each node
for (let link = 0; link < LINKS; link++) {
  links[data.from[link]].push(link);
  if (data.to[link] !== data.from[link]) links[data.to[link]].push(link);
}
const otherEnd = (link, i) => (data.from[link] === i ? data.to[link] : data.from[link]);
const kindOf = (link) => data.kinds[data.link[link]];

// What is labelled first, and listed first: documents, then what has most links.
const importance = data.degree.map((degree, i) => (is(i, "document") ? 1e6 : is(i, "page") ? 0 : 1e3) + degree);
const order = [...importance.keys()].sort((a, b) => importance[b] - importance[a] || a - b);

const texts = data.name.map((name, i) => lowered(`${name} ${data.page[i] || ""} ${data.text[i]}`));
const plainTexts = texts.map(plain);
const matched = new Uint8Array(COUNT).fill(1);
let listed = [];

function select() {
  const words = lowered(chosen.query).split(/\s+/).filter(Boolean);
  const among = words.some((word) => plain(word) !== word) ? texts : plainTexts;
  listed = [];
  for (const i of order) {
    matched[i] = words.every((word) => among[i].includes(word)) ? 1 : 0;
    if (matched[i] && visible(i)) listed.push(i);
  }
}

const titleOf = (i) => (is(i, "page") ? `${data.name[i]} · ${say("page", { page: data.page[i] })}` : data.name[i]);

function around(i) {
  const near = new Set([i]);
  for (const link of links[i]) near.add(otherEnd(link, i));
  return near;
}
