// Marks the query's words in a text, by the rule that the server finds them by: letters and digits, case folded, tone
// and vowel marks kept; Chinese by pairs of characters.

import { h } from "./dom.js";

const WORD = /[\p{L}\p{N}\p{M}_]+/gu;
const HAN = /[\u3400-\u9fff]+/g;

const folded = (text) => text.normalize("NFC").toLowerCase();

function pairs(word) {
  const found = [];
  for (const run of word.match(HAN) ?? []) for (let i = 0; i + 1 < run.length; i++) found.push(run.slice(i, i + 2));
  return found;
}

/** The words of a query as a set of what to look for. */
export function terms(query) {
  const words = folded(query).match(WORD) ?? [];
  return new Set([...words, ...words.flatMap(pairs)]);
}

/** Nodes of a text with the query's words in <mark>. */
export function marked(text, query) {
  const asked = terms(query);
  const nodes = [];
  const line = text.normalize("NFC");
  let end = 0;
  for (const [from, to] of spans(line, asked)) {
    nodes.push(line.slice(end, from), h("mark", {}, line.slice(from, to)));
    end = to;
  }
  nodes.push(line.slice(end));
  return nodes;
}

function spans(line, asked) {
  const found = [];
  for (const match of line.matchAll(WORD)) {
    const word = match[0].toLowerCase();
    const start = match.index;
    if (asked.has(word)) found.push([start, start + match[0].length]);
    else if (word.length === match[0].length) {
      for (let i = 0; i + 1 < word.length; i++) {
        if (!/^[\u3400-\u9fff]{2}$/.test(word.slice(i, i + 2)) || !asked.has(word.slice(i, i + 2))) continue;
        const last = found.at(-1);
        if (last && last[1] > start + i) last[1] = start + i + 2;
        else found.push([start + i, start + i + 2]);
      }
    }
  }
  return found;
}
