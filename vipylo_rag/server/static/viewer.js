// One page whole: its picture with the heat map and the boxes, its text, the pages beside it.

import { ApiError, api } from "./api.js";
import { announce, byId, fill, h, openDialog, toast } from "./dom.js";
import { clearHeat, drawBoxes, drawHeat } from "./heat.js";
import { named, number, onLanguage, t } from "./i18n.js";
import { marked } from "./marks.js";
import { closePage, navigate, recall } from "./route.js";
import { searchInDocument, searchWithPicture } from "./search.js";
import { explained } from "./session.js";
import { Stage, ZOOM_STEP } from "./stage.js";
import { whyPanel } from "./why.js";

const TABS = ["why", "text", "about"];
let stage;
let call = null;
let open = { id: "", page: null, explanation: null, context: null, problem: null };
// Remembered while the reader goes from page to page.
const overlay = { heat: true, opacity: 0.65, boxes: true };

export function startViewer() {
  stage = new Stage({ stage: byId("stage"), sheet: byId("sheet"), value: byId("zoom-value"), turn });
  byId("viewer-close").addEventListener("click", () => byId("viewer").close());
  byId("page-previous").addEventListener("click", () => turn(-1));
  byId("page-next").addEventListener("click", () => turn(1));
  byId("viewer-similar").addEventListener("click", similar);
  byId("zoom-in").addEventListener("click", () => stage.zoom(ZOOM_STEP));
  byId("zoom-out").addEventListener("click", () => stage.zoom(1 / ZOOM_STEP));
  byId("zoom-fit").addEventListener("click", () => stage.fit());
  byId("viewer").addEventListener("keydown", keys);
  for (const name of TABS) byId(`panel-tab-${name}`).addEventListener("click", () => selectTab(name));
  byId("page-image").addEventListener("load", ({ target }) => stage.resize(target.naturalWidth, target.naturalHeight));
  byId("page-image").addEventListener("error", () => {
    if (open.page?.image) note(t("error.image"));
  });
  onLanguage(() => {
    if (open.id) show();
  });
}

/** Open, change or close the viewer as the address says. */
export function showViewer(here) {
  const dialog = byId("viewer");
  if (!here.page) {
    open.id = "";
    call?.abort();
    if (dialog.open) dialog.close();
    return;
  }
  if (here.page === open.id) return;
  const context = recall(here.context) ?? { text: here.q.trim(), images: recall(here.images) ?? [] };
  open = { id: here.page, page: null, explanation: null, context, problem: null };
  if (!dialog.open) {
    openDialog(dialog, closePage);
    selectTab("why");
    byId("stage").focus();
  }
  load();
}

async function load() {
  call?.abort();
  call = new AbortController();
  const here = open;
  byId("page-image").removeAttribute("src");
  clearHeat(byId("heat"));
  show();
  try {
    here.page = await api.page(here.id, call.signal);
    if (here !== open) return;
    show();
    const { text, images } = here.context;
    if (!text && !images?.length) return;
    here.explanation = await api.explain(here.id, { text, images: images ?? [] }, call.signal);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ApiError)) throw error;
    here.problem = error.status === 404 ? t("viewer.gone") : explained(error);
  }
  if (here === open) show();
}

/** Draw everything from what is known so far. */
function show() {
  const { page, problem } = open;
  byId("viewer-title").textContent = page?.name ?? (problem ? t("error.title") : t("viewer.loading"));
  byId("viewer-place").textContent = page ? t("viewer.place", { page: page.page, pages: page.pages }) : "";
  byId("page-previous").disabled = !page?.previous;
  byId("page-next").disabled = !page?.next;
  byId("viewer-similar").disabled = !page?.image;
  const download = byId("viewer-download");
  download.hidden = !page?.image;
  if (page?.image) {
    download.setAttribute("href", page.image);
    download.setAttribute("download", `${page.name} - ${page.page}`.replaceAll("/", "_"));
  }
  showPicture();
  fill(
    byId("panel-why"),
    page?.warning ? h("p", { class: "note" }, t("viewer.warning", { text: page.warning })) : null,
    passage(),
    page || problem ? whyPanel(open, overlay, drawOverlay) : null,
  );
  fill(byId("panel-text"), page ? textPanel(page) : null);
  fill(byId("panel-about"), page ? aboutPanel(page) : null);
}

function showPicture() {
  const { page, problem } = open;
  const image = byId("page-image");
  byId("sheet").hidden = !page?.image;
  byId("stage-note").hidden = true;
  if (problem && !page) note(problem);
  else if (!page) note(t("viewer.loading"));
  else if (!page.image) note(page.text || t("viewer.picture.none"), "written");
  else {
    image.alt = t("viewer.image", { page: page.page, name: page.name });
    if (image.getAttribute("src") !== page.image) {
      if (page.width && page.height) stage.resize(page.width, page.height);
      image.src = page.image;
    }
    drawOverlay();
  }
}

function note(text, kind = "") {
  const element = byId("stage-note");
  element.className = `stage-note ${kind}`;
  element.textContent = text;
  element.hidden = false;
}

function drawOverlay() {
  const { page, explanation, context } = open;
  const canvas = byId("heat");
  if (!page?.image) return;
  canvas.hidden = !(explanation?.heat && overlay.heat);
  canvas.style.opacity = overlay.opacity;
  if (explanation?.heat && canvas.dataset.id !== page.id + canvas.width) {
    drawHeat(canvas, explanation.heat, page.width ?? 1000, page.height ?? 1400);
    canvas.dataset.id = page.id + canvas.width;
  }
  const cited = page.id === context.page && context.boxes?.length;
  const boxes = cited ? context.boxes : (explanation?.boxes ?? []);
  drawBoxes(byId("boxes"), overlay.boxes ? boxes : [], cited ? "passage" : "match");
}

function passage() {
  const { page, context } = open;
  if (!page || page.id !== context.page || !context.quote) return null;
  return h("figure", { class: "passage" }, h("figcaption", {}, t("why.passage")), h("blockquote", {}, marked(context.quote, context.text)));
}

function textPanel(page) {
  if (!page.text.trim()) return h("p", { class: "hint" }, t("text.none"));
  const copy = async () => {
    await navigator.clipboard.writeText(page.text);
    toast(t("copied"));
  };
  return [
    h("p", { class: "buttons end" }, h("button", { type: "button", class: "quiet", on: { click: copy } }, t("copy"))),
    h("div", { class: "page-text" }, marked(page.text, open.context.text ?? "")),
  ];
}

function aboutPanel(page) {
  const rows = [
    [t("about.name"), page.name],
    [t("about.page"), t("viewer.place", { page: page.page, pages: page.pages })],
    [t("about.kind"), named("kind", page.kind)],
    page.width ? [t("about.size"), `${number(page.width)} × ${number(page.height)}`] : null,
    ...Object.entries(page.metadata)
      .filter(([name, value]) => value !== null && value !== "" && !/sha256$|^(page|kind|width|height)$/.test(name))
      .map(([name, value]) => [name, String(value)]),
  ];
  const only = () => searchInDocument(page.document);
  return [
    h("dl", { class: "facts" }, rows.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    h("p", {}, h("button", { type: "button", on: { click: only } }, t("about.only"))),
  ];
}

function selectTab(name) {
  for (const one of TABS) {
    byId(`panel-tab-${one}`).setAttribute("aria-selected", String(one === name));
    byId(`panel-tab-${one}`).tabIndex = one === name ? 0 : -1;
    byId(`panel-${one}`).hidden = one !== name;
  }
}

function turn(step) {
  const id = step < 0 ? open.page?.previous : open.page?.next;
  if (!id) return;
  navigate({ page: id }, { replace: true });
  announce(t("viewer.loading"));
}

async function similar() {
  const { page } = open;
  try {
    const response = await fetch(page.image);
    if (!response.ok) throw new ApiError(response.status, "");
    const picture = await response.blob();
    searchWithPicture(new File([picture], `${page.name} - ${page.page}`, { type: picture.type }));
  } catch (error) {
    toast(error instanceof ApiError ? explained(error) : t("error.offline"));
  }
}

function keys(event) {
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.role === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const at = TABS.findIndex((name) => event.target.id.endsWith(name));
    const next = TABS[(at + (event.key === "ArrowRight" ? 1 : TABS.length - 1)) % TABS.length];
    selectTab(next);
    byId(`panel-tab-${next}`).focus();
    return;
  }
  if (typing) return;
  const act = {
    "[": () => turn(-1),
    "]": () => turn(1),
    PageUp: () => turn(-1),
    PageDown: () => turn(1),
    "+": () => stage.zoom(ZOOM_STEP),
    "=": () => stage.zoom(ZOOM_STEP),
    "-": () => stage.zoom(1 / ZOOM_STEP),
    0: () => stage.fit(),
    h: () => byId("heat-toggle")?.click(),
  }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || (event.key.startsWith("Page") && event.target.closest(".panel"))) return;
  event.preventDefault();
  act();
}

