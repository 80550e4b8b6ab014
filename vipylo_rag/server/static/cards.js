// A page as a card: its thumbnail, or the beginning of its text, with what is known of it below.

import { h } from "./dom.js";
import { named, score, t } from "./i18n.js";
import { marked } from "./marks.js";
import { address, openPage, route } from "./route.js";

/** The picture of a page for lists. */
export function thumbnail(page, words = "") {
  if (!page.thumbnail) return h("span", { class: "thumb text", "aria-hidden": "true" }, words.slice(0, 400) || page.name);
  return h(
    "span",
    { class: "thumb" },
    h("img", { src: page.thumbnail, alt: "", loading: "lazy", width: page.width, height: page.height }),
  );
}

/** A found page; a link, so that it can be opened in another tab too. */
export function hitCard(hit, query) {
  return h(
    "li",
    {},
    h(
      "a",
      {
        class: "card",
        href: address({ ...route(), page: hit.id }),
        "aria-label": t("results.open", { rank: hit.rank, name: hit.name, page: hit.page }),
        dataset: { id: hit.id },
        on: { click: (event) => open(event, hit.id, query) },
      },
      h("span", { class: "rank" }, String(hit.rank)),
      thumbnail(hit, hit.snippet),
      h(
        "span",
        { class: "card-text" },
        h("span", { class: "card-name", title: hit.name }, hit.name),
        h(
          "span",
          { class: "card-facts" },
          h("span", {}, t("results.page", { n: hit.page })),
          h("span", {}, named("kind", hit.kind)),
          h("span", { class: "score", title: t("results.score", { score: score(hit.score) }) }, score(hit.score)),
        ),
        hit.thumbnail && hit.snippet ? h("span", { class: "snippet" }, marked(hit.snippet, query.text)) : null,
      ),
    ),
    hit.path.length > 1 ? way(hit.path.slice(0, -1), query) : null,
  );
}

/** How a page was reached along the graph: what lies before it, each page of which can be opened. */
function way(steps, query) {
  return h(
    "p",
    { class: "via", "aria-label": t("via.title"), title: t("via.title") },
    t("via.through"),
    steps.map((step, place) => [place ? " → " : " ", step.page_id ? pageStep(step, query) : h("b", {}, step.name)]),
  );
}

function pageStep(step, query) {
  const [, name, page] = /^(.*), page (\d+)$/s.exec(step.name) ?? [null, step.name, null];
  return h(
    "a",
    { href: address({ ...route(), page: step.page_id }), on: { click: (event) => open(event, step.page_id, query) } },
    page ? `${name}, ${t("results.page", { n: Number(page) })}` : name,
  );
}

/** Follow a link to a page within this tab, unless the reader asks for another one. */
export function open(event, id, context) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  openPage(id, context);
}
