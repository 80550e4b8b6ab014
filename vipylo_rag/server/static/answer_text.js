// An answer's text as elements: paragraphs, lists, bold words, and citations as buttons. Everything else stays text.

import { h } from "./dom.js";

const ITEM = /^\s*(?:[-*•]|\d+[.)])\s+/;
const INLINE = /\*\*([^*]+)\*\*|\[(\d{1,3})\]/g;

/** Elements of a text; `cite(number)` gives the button of a citation, or null where there is no such page. */
export function answerNodes(text, cite) {
  const nodes = [];
  let list = null;
  let lines = [];
  const flush = () => {
    if (lines.length) nodes.push(h("p", {}, inline(lines.join("\n"), cite)));
    lines = [];
  };
  for (const line of text.split("\n")) {
    if (ITEM.test(line)) {
      flush();
      if (!list) nodes.push((list = h(/^\s*\d/.test(line) ? "ol" : "ul")));
      list.append(h("li", {}, inline(line.replace(ITEM, ""), cite)));
    } else if (!line.trim()) {
      flush();
      list = null;
    } else {
      list = null;
      const heading = /^#{1,4}\s+(.*)/.exec(line);
      if (heading) {
        flush();
        nodes.push(h("h3", {}, inline(heading[1], cite)));
      } else lines.push(line);
    }
  }
  flush();
  return nodes;
}

function inline(text, cite) {
  const nodes = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, bold, number] = match;
    const node = bold ? h("strong", {}, inline(bold, cite)) : cite(Number(number));
    if (!node) continue;
    nodes.push(text.slice(end, match.index), node);
    end = match.index + whole.length;
  }
  nodes.push(text.slice(end));
  return nodes;
}
