// Starts the page and shows the view that the address names.

import { ApiError } from "./api.js";
import { showAsk, startAsk } from "./ask.js";
import { showDocuments, startDocuments } from "./documents.js";
import { byId, fill, h, icon, openDialog } from "./dom.js";
import { loadFacets } from "./filters.js";
import { currentLanguage, onLanguage, setLanguage, startLanguage, t } from "./i18n.js";
import { navigate, onRoute, route, tell } from "./route.js";
import { focusResults, showSearch, startSearch } from "./search.js";
import { explained, loadInfo, startSession } from "./session.js";
import { showViewer, startViewer } from "./viewer.js";

const VIEWS = ["search", "ask", "documents"];
const FIRST = { search: "query", ask: "question", documents: "document-name" };
let view = "";

function show(here) {
  const changed = here.view !== view;
  view = here.view;
  for (const name of VIEWS) {
    byId(`view-${name}`).hidden = name !== view;
    if (name === view) byId(`tab-${name}`).setAttribute("aria-current", "page");
    else byId(`tab-${name}`).removeAttribute("aria-current");
  }
  if (view === "search") showSearch(here);
  if (view === "ask") showAsk();
  if (view === "documents" && changed) showDocuments();
  showViewer(here);
}

function goTo(event, name) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const same = route().view === name;
  const fresh = { q: "", kinds: [], documents: [], images: "" };
  const left = { ...(same || name !== "search" ? fresh : {}), ...(same ? { mode: "hybrid" } : {}) };
  navigate({ view: name, page: "", context: "", opened: false, ...left });
  byId(FIRST[name]).focus();
}

function startTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const draw = () => {
    const other = now() === "dark" ? "light" : "dark";
    fill(byId("theme"), icon(other === "dark" ? "moon" : "sun"));
    byId("theme").setAttribute("aria-label", t(`theme.${other}`));
    byId("theme").title = t(`theme.${other}`);
  };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("vipylo.theme", root.dataset.theme);
    } catch {
      // For this visit, then.
    }
    draw();
  });
  dark.addEventListener("change", draw);
  onLanguage(draw);
  draw();
}

function startKeys() {
  byId("shortcuts").addEventListener("click", () => openDialog(byId("shortcuts-dialog")));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) && !/^(radio|checkbox)$/.test(event.target.type);
    if (event.key === "ArrowDown" && event.target === byId("query")) {
      event.preventDefault();
      focusResults();
    } else if (typing) return;
    else if (event.key === "/") {
      event.preventDefault();
      byId(FIRST[view]).focus();
      byId(FIRST[view]).select();
    } else if (event.key === "?") openDialog(byId("shortcuts-dialog"));
  });
}

function start() {
  startLanguage();
  for (const element of document.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
  byId("language").value = currentLanguage();
  byId("language").addEventListener("change", (event) => setLanguage(event.target.value));
  startTheme();
  startKeys();
  startSession();
  startSearch();
  startAsk();
  startDocuments();
  startViewer();
  for (const name of VIEWS) byId(`tab-${name}`).addEventListener("click", (event) => goTo(event, name));
  byId("home").addEventListener("click", (event) => goTo(event, "search"));
  onRoute(show);
  connect();
}

/** First what the server is, which asks for the key where one is needed; then what the address wants. */
async function connect() {
  fill(byId("connection"));
  try {
    await loadInfo();
    await loadFacets();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    const again = h("button", { type: "button", on: { click: connect } }, t("retry"));
    fill(byId("connection"), h("div", { class: "state problem", role: "alert" }, h("p", {}, explained(error)), again));
    return;
  }
  tell();
  if (!route().page && !matchMedia("(pointer: coarse)").matches) byId(FIRST[view]).focus();
}

start();
