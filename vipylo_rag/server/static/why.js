// The panel that says why a page has its score: the overlay's switches, the sums, the strongest words.

import { byId, h } from "./dom.js";
import { boxElement } from "./heat.js";
import { number, t } from "./i18n.js";

const WORDS = 20;

/** What the panel holds for what is open; `redraw` is called after the reader changed the overlay. */
export function whyPanel({ page, explanation, context, problem }, overlay, redraw) {
  if (!context.text && !context.images?.length) return h("p", { class: "hint" }, t("why.none"));
  if (problem) return h("p", { class: "problem" }, page ? `${t("why.failed")} ${problem}` : problem);
  if (!explanation) return h("p", { class: "hint" }, t("why.loading"));
  return [
    page.image ? switches(explanation, overlay, redraw) : null,
    h("h3", {}, t("why.score"), h("span", { class: "score-value" }, number(explanation.score, 3))),
    parts(explanation),
    h("p", { class: "hint" }, t("why.exact")),
    bars(t("why.query"), explanation.query_words.filter((word) => word.text.trim())),
    bars(t("why.words"), together(explanation.words).slice(0, WORDS)),
  ];
}

function switches({ heat, boxes }, overlay, redraw) {
  const toggle = (name, label) =>
    h(
      "label",
      { class: "switch" },
      h("input", {
        type: "checkbox",
        id: `${name}-toggle`,
        checked: overlay[name],
        on: {
          change: (event) => {
            overlay[name] = event.target.checked;
            redraw();
          },
        },
      }),
      h("span", {}, label),
    );
  return h(
    "div",
    { class: "overlay-switches" },
    heat ? toggle("heat", t("why.heat")) : null,
    heat
      ? h("input", {
          type: "range",
          min: "0.1",
          max: "1",
          step: "0.05",
          value: String(overlay.opacity),
          "aria-label": t("why.opacity"),
          title: t("why.opacity"),
          on: {
            input: (event) => {
              overlay.opacity = Number(event.target.value);
              redraw();
            },
          },
        })
      : null,
    heat ? h("span", { class: "legend", "aria-hidden": "true" }, h("span", {}, t("why.low")), h("i"), h("span", {}, t("why.high"))) : null,
    boxes.length ? toggle("boxes", t("why.boxes")) : null,
  );
}

function parts({ score, text_share, picture_share, other_share }) {
  const rows = [
    [t("why.text"), text_share],
    [t("why.picture"), picture_share],
    [t("why.other"), other_share],
  ];
  const largest = Math.max(Math.abs(score), ...rows.map(([, share]) => Math.abs(share))) || 1;
  return h(
    "ul",
    { class: "bars", "aria-label": t("why.parts") },
    rows.map(([name, share]) => row(name, share, Math.abs(share) / largest)),
  );
}

// A word that stands on the page nine times is one row with nine places.
function together(words) {
  const found = new Map();
  for (const { text, share, box } of words) {
    const name = text.normalize("NFC").toLowerCase().replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, "") || text;
    const one = found.get(name) ?? { text: name, share: 0, places: 0, boxes: [] };
    one.share += share;
    one.places += 1;
    if (box) one.boxes.push(box);
    found.set(name, one);
  }
  return [...found.values()]
    .filter((word) => word.share > 0)
    .sort((a, b) => b.share - a.share)
    .map((word) => ({ ...word, text: word.places > 1 ? `${word.text} ×${word.places}` : word.text }));
}

function bars(title, words) {
  if (!words.length) return null;
  const largest = Math.max(...words.map((word) => Math.abs(word.share))) || 1;
  return [
    h("h3", {}, title),
    h("ol", { class: "bars" }, words.map((word) => row(word.text, word.share, Math.abs(word.share) / largest, word.boxes ?? []))),
  ];
}

function row(name, share, length, boxes = []) {
  const bar = h("span", { class: share < 0 ? "bar minus" : "bar" });
  bar.style.setProperty("--length", length);
  return h(
    "li",
    { on: boxes.length ? { pointerenter: () => point(boxes), pointerleave: () => point([]) } : {} },
    h("span", { class: "bar-name", title: name }, name),
    bar,
    h("span", { class: "bar-value" }, number(share, 3)),
  );
}

// Where a word of the list stands on the page, while the pointer is over it.
function point(boxes) {
  for (const old of document.querySelectorAll("#boxes .pointed")) old.remove();
  byId("boxes").append(...boxes.map((box) => boxElement(box, "pointed")));
}
