// Searching: the box, the pictures, the modes, and the grid of pages found.

import { ApiError, api } from "./api.js";
import { hitCard, thumbnail, open } from "./cards.js";
import { announce, byId, fill, h, icon } from "./dom.js";
import { loadFacets, showFilters, where } from "./filters.js";
import { graphNote, offerGraph } from "./graph.js";
import { number, onLanguage, t } from "./i18n.js";
import { chosenMode, lacksGraph, startModes } from "./modes.js";
import { Pictures } from "./pictures.js";
import { keep, navigate, recall, route } from "./route.js";
import { explained, info, onInfo } from "./session.js";

const STEP = 12;
const BUSY_SECONDS = 5;

let pictures;
let shown = { key: null, topK: STEP, result: null, query: null, error: null, lacksGraph: false };
let running = null;
let retryTimer = 0;

export function startSearch() {
  pictures = new Pictures({
    place: byId("search-pictures"),
    button: byId("search-image"),
    zone: byId("view-search"),
    changed: () => submit(),
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (matchMedia("(max-width: 720px)").matches) byId("query").blur(); // a phone's keyboard makes room
    submit();
  });
  startModes(submit);
  byId("more").addEventListener("click", () => run(route(), shown.topK + STEP));
  byId("grid").addEventListener("keydown", moveInGrid);
  const room = matchMedia("(min-width: 961px)");
  const unfold = () => {
    byId("filters").open = room.matches;
  };
  room.addEventListener("change", unfold);
  unfold();
  onLanguage(() => {
    showFilters();
    show();
  });
  onInfo(() => {
    const here = route();
    if (here.view === "search" && here.mode === "graph" && shown.lacksGraph && !lacksGraph(here.mode)) again(here);
    else if (!asked(here)) show();
  });
  addEventListener("online", () => {
    if (shown.error?.status === 0) retry();
  });
}

const asked = ({ q, images }) => Boolean(q.trim() || recall(images)?.length);

/** Search with what box and pictures hold: a new place in the history. */
function submit() {
  const q = byId("query").value.trim();
  const images = pictures.files.length ? keep(pictures.files) : "";
  navigate({ view: "search", q, mode: chosenMode(), images, page: "", context: "", opened: false });
}

/** Search with a page's picture. */
export function searchWithPicture(file) {
  const images = keep([file]);
  navigate({ view: "search", q: "", mode: "hybrid", kinds: [], documents: [], images, page: "", context: "", opened: false });
}

/** Search in one document, with the words that are there already. */
export function searchInDocument(id) {
  navigate({ view: "search", kinds: [], documents: [id], page: "", context: "", opened: false });
  byId("query").focus();
}

/** Show what the address asks for; what is shown already stays. */
export function showSearch(here) {
  const key = JSON.stringify([here.q, here.mode, here.kinds, here.documents, here.images]);
  if (key === shown.key) return;
  byId("query").value = here.q;
  const files = recall(here.images) ?? [];
  if (files !== pictures.files) pictures.set(files);
  shown = { key, topK: STEP, result: null, query: null, error: null, lacksGraph: false };
  showFilters();
  again(here);
}

/** Search for what the address asks for, or offer what that needs. */
function again(here) {
  shown.lacksGraph = lacksGraph(here.mode);
  if (asked(here) && !shown.lacksGraph) run(here, STEP);
  else {
    running?.abort();
    clearTimeout(retryTimer);
    show();
  }
}

/** Search again, as the documents have changed. */
export function forgetResults() {
  shown.key = null;
  loadFacets().catch(() => {});
}

async function run(here, topK) {
  running?.abort();
  clearTimeout(retryTimer);
  const call = new AbortController();
  running = call;
  const query = { text: here.q.trim(), images: recall(here.images) ?? [] };
  const wider = shown.result !== null;
  if (!wider) showLoading();
  byId("more").disabled = true;
  try {
    const result = await api.search({ ...query, mode: here.mode, where: where(here), topK }, call.signal);
    Object.assign(shown, { topK, result, query, error: null });
    show();
    if (wider) byId("grid").children[topK - STEP]?.firstElementChild.focus();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ApiError)) throw error;
    shown.error = error;
    show();
  } finally {
    byId("more").disabled = false;
  }
}

function retry() {
  clearTimeout(retryTimer);
  shown.error = null;
  run(route(), shown.topK);
}

function showLoading() {
  byId("result-line").textContent = t("search.searching");
  byId("more").hidden = true;
  byId("grid").hidden = true;
  byId("found").classList.add("busy");
  fill(
    byId("search-state"),
    h("ol", { class: "grid waiting", "aria-hidden": "true" }, Array.from({ length: 8 }, () => h("li", {}, h("span", { class: "ghost" })))),
  );
}

/** Draw results, an error, or the first page, from what is known. */
function show() {
  const here = route();
  const grid = byId("grid");
  const { result, query, error } = shown;
  if (running && asked(here) && !result && !error && !shown.lacksGraph) return;
  byId("found").classList.remove("busy");
  byId("found").classList.toggle("first", !asked(here));
  byId("filters").hidden = !asked(here) && !here.documents.length && !here.kinds.length;
  grid.hidden = !result?.hits.length;
  byId("more").hidden = !result || result.hits.length < shown.topK || shown.topK + STEP > (info()?.limits.top_k ?? 0);
  byId("result-line").textContent = "";
  fill(byId("search-state"));
  if (shown.lacksGraph) {
    fill(grid);
    offerGraph(byId("search-state"));
  } else if (error) {
    grid.hidden = true;
    showError(error);
  } else if (result) {
    fill(grid, result.hits.map((hit) => hitCard(hit, query)));
    const line = t("results.found", { n: result.hits.length, seconds: number(result.took_ms / 1000, 2) });
    byId("result-line").textContent = result.hits.length ? line : t("results.none");
    if (!result.hits.length) showNone(here);
    else if (here.images && !query.images.length) fill(byId("search-state"), h("p", { class: "note" }, t("image.lost")));
    else if (here.mode === "graph") tellOfStale(result);
  } else if (!asked(here)) {
    fill(grid);
    showStart();
  }
}

async function tellOfStale(result) {
  const note = await graphNote().catch(() => null);
  if (shown.result === result && note) fill(byId("search-state"), note);
}

function showNone(here) {
  const filtered = here.kinds.length + here.documents.length > 0;
  const why = filtered ? "results.none.filtered" : here.mode === "lexical" ? "results.none.lexical" : "results.none.text";
  fill(
    byId("search-state"),
    h(
      "div",
      { class: "state" },
      h("p", { class: "state-title" }, t("results.none")),
      h("p", {}, t(why)),
      filtered
        ? h("button", { type: "button", on: { click: () => navigate({ kinds: [], documents: [] }) } }, t("filter.clear"))
        : null,
    ),
  );
}

function showError(error) {
  const words = h("p", {}, explained(error));
  fill(
    byId("search-state"),
    h(
      "div",
      { class: "state problem", role: "alert" },
      h("p", { class: "state-title" }, icon("alert"), t("error.title")),
      words,
      h("button", { type: "button", class: "retry", on: { click: retry } }, t("retry")),
    ),
  );
  if (error.status === 429) countDown(words, error.retryAfter || BUSY_SECONDS);
}

function countDown(words, seconds) {
  words.textContent = t("error.busy", { n: seconds });
  retryTimer = setTimeout(() => (seconds > 1 ? countDown(words, seconds - 1) : retry()), 1000);
}

async function showStart() {
  const known = info();
  if (!known) return;
  const place = h("div", { class: "start" });
  fill(byId("search-state"), place);
  if (!known.pages) {
    fill(
      place,
      h("h1", {}, t("start.empty.title")),
      h("p", { class: "lead" }, t("start.empty.text")),
      known.writable
        ? h("button", { type: "button", class: "primary", on: { click: () => navigate({ view: "documents" }) } }, icon("upload"), t("start.empty.button"))
        : null,
    );
    return;
  }
  fill(
    place,
    h("h1", {}, t("start.title")),
    h("p", { class: "lead" }, t("start.text")),
    h("p", { class: "hint" }, t("start.counts", { pages: known.pages, documents: known.documents })),
  );
  const { documents } = await api.documents({ state: "done", limit: 12 }).catch(() => ({ documents: [] }));
  const recent = documents.filter((one) => one.first_page?.thumbnail).slice(0, 6);
  if (recent.length && place.isConnected) place.append(recentList(recent));
}

function recentList(recent) {
  return h(
    "div",
    { class: "recent" },
    h("h2", {}, t("start.recent")),
    h(
      "ul",
      {},
      recent.map((one) =>
        h(
          "li",
          {},
          h(
            "a",
            { href: `/?page=${encodeURIComponent(one.first_page.id)}`, "aria-label": t("documents.open", { name: one.name }), on: { click: (event) => open(event, one.first_page.id) } },
            thumbnail(one.first_page),
            h("span", { class: "card-name" }, one.name),
          ),
        ),
      ),
    ),
  );
}

function moveInGrid(event) {
  const cards = [...document.querySelectorAll("#grid .card")];
  const at = cards.indexOf(document.activeElement);
  if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
  const across = cards.filter((card) => Math.abs(card.offsetTop - cards[0].offsetTop) < 4).length || 1;
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + across, ArrowUp: at - across, Home: 0, End: cards.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (to < 0 && event.key === "ArrowUp") byId("query").focus();
  else cards[Math.max(0, Math.min(to, cards.length - 1))]?.focus();
}

/** From the box into the results. */
export function focusResults() {
  const first = document.querySelector("#grid .card");
  if (first) first.focus();
  else announce(byId("result-line").textContent);
}
