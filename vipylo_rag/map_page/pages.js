// The pages: what is known of them, which are shown, and which match the search.
const COLOURED = 10;
const chosen = { by: "file", selected: -1, hovered: -1, group: -1, query: "", highlighted: -1 };

const slash = (name) => name.lastIndexOf("/");
const groupings = { file: grouping(data.sources, data.source), kind: grouping(data.kinds, data.kind) };
{
  const folders = data.sources.map((name) => name.slice(0, Math.max(0, slash(name))));
  const names = [...new Set(folders)].sort();
  const number = new Map(names.map((name, place) => [name, place]));
  groupings.folder = grouping(names, data.source.map((source) => number.get(folders[source])));
}

// `rank`: 0 for the largest part; what ranks below COLOURED has a colour of its own.
function grouping(names, of) {
  const counts = new Array(names.length).fill(0);
  for (const part of of) counts[part]++;
  const order = names.map((_, part) => part).sort((a, b) => counts[b] - counts[a] || a - b);
  const rank = new Array(names.length);
  order.forEach((part, place) => (rank[part] = place));
  return { names, of, counts, order, rank, off: new Set() };
}

// Colours tell most where they cover most pages: with very many files, those of folders.
const covered = ({ order, counts }) => order.slice(0, COLOURED).reduce((sum, part) => sum + counts[part], 0);
if (groupings.folder.names.length > 1 && covered(groupings.file) < COUNT / 2 && covered(groupings.folder) > covered(groupings.file)) {
  chosen.by = "folder";
}

const texts = data.text.map((text, i) => lowered(`${data.sources[data.source[i]]} ${data.page[i]} ${text}`));
let plainTexts = null;
const matched = new Uint8Array(COUNT).fill(1);
const shown = new Uint8Array(COUNT).fill(1);
let listed = [];

function select() {
  const words = lowered(chosen.query).split(/\s+/).filter(Boolean);
  const marked = words.some((word) => plain(word) !== word);
  if (!marked && words.length && !plainTexts) plainTexts = texts.map(plain);
  const among = marked ? texts : plainTexts;
  const { of, off } = groupings[chosen.by];
  const kindsOff = groupings.kind.off;
  listed = [];
  for (let i = 0; i < COUNT; i++) {
    shown[i] = off.has(of[i]) || kindsOff.has(data.kind[i]) ? 0 : 1;
    matched[i] = words.every((word) => among[i].includes(word)) ? 1 : 0;
    if (shown[i] && matched[i]) listed.push(i);
  }
  listed.sort((a, b) => data.source[a] - data.source[b] || data.page[a] - data.page[b]);
}

const fileName = (i) => data.sources[data.source[i]];
const shortName = (i) => fileName(i).slice(slash(fileName(i)) + 1);

// A grid over the map finds what lies near a place without looking at every page.
const CELLS = 128;
const cellOf = (value) => Math.min(CELLS - 1, Math.max(0, Math.floor((value / 65536) * CELLS)));
const cells = Array.from({ length: CELLS * CELLS }, () => []);
for (let i = 0; i < COUNT; i++) cells[cellOf(data.y[i]) * CELLS + cellOf(data.x[i])].push(i);

function nearest(x, y, reach) {
  let best = -1;
  let least = reach * reach;
  for (let row = cellOf(y - reach); row <= cellOf(y + reach); row++) {
    for (let column = cellOf(x - reach); column <= cellOf(x + reach); column++) {
      for (const i of cells[row * CELLS + column]) {
        const distance = (data.x[i] - x) ** 2 + (data.y[i] - y) ** 2;
        if (shown[i] && matched[i] && distance <= least) [best, least] = [i, distance];
      }
    }
  }
  return best;
}
