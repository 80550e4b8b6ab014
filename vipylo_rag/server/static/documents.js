// The documents: their states and reasons, finding, opening and deleting them.

import { ApiError, api } from "./api.js";
import { open, thumbnail } from "./cards.js";
import { byId, fill, h, icon, openDialog, toast } from "./dom.js";
import { bytes, date, named, onLanguage, t } from "./i18n.js";
import { forgetResults, searchInDocument } from "./search.js";
import { explained, info, loadInfo, onInfo } from "./session.js";
import { resumeUploads, startUploads } from "./uploads.js";

const STEP = 50;
const SETTLE_MS = 250;
const EVERY_MS = 5000;
let listed = { total: 0, documents: [], known: false };
let wanted = STEP;
let call = null;
let timer = 0;
let problem = null;

export function startDocuments() {
  startUploads(() => {
    load();
    forgetResults();
    loadInfo().catch(() => {});
  });
  byId("document-name").addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(fresh, SETTLE_MS);
  });
  byId("document-state").addEventListener("change", fresh);
  byId("more-documents").addEventListener("click", () => {
    wanted += STEP;
    load();
  });
  onLanguage(show);
  onInfo(show);
  setInterval(() => {
    // What others add shows up too, and what waits gets done.
    if (!byId("view-documents").hidden && !document.hidden && listed.known) load();
  }, EVERY_MS);
}

/** The tab was opened. */
export async function showDocuments() {
  await load();
  await resumeUploads().catch(() => {});
}

function fresh() {
  wanted = STEP;
  load();
}

async function load() {
  call?.abort();
  call = new AbortController();
  const { signal } = call;
  const asked = { state: byId("document-state").value, name: byId("document-name").value.trim() };
  try {
    const found = { total: 0, documents: [] };
    do {
      const part = await api.documents({ ...asked, offset: found.documents.length, limit: STEP }, signal);
      found.total = part.total;
      found.documents.push(...part.documents);
      if (!part.documents.length) break;
    } while (found.documents.length < Math.min(wanted, found.total));
    problem = null;
    const before = JSON.stringify(listed.documents);
    const same = listed.known && listed.total === found.total && before === JSON.stringify(found.documents);
    listed = { ...found, known: true };
    if (same) return;
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ApiError)) throw error;
    problem = error;
  }
  show();
}

function show() {
  if (!listed.known && !problem) return;
  const focused = document.activeElement?.closest("#document-list [data-id]")?.dataset.id;
  byId("document-count").textContent = listed.known ? t("documents.count", { n: listed.total }) : "";
  fill(byId("document-list"), listed.documents.map(row));
  if (focused) document.querySelector(`#document-list [data-id="${CSS.escape(focused)}"] a, [data-id="${CSS.escape(focused)}"] button`)?.focus();
  byId("more-documents").hidden = listed.documents.length >= listed.total;
  const filtered = byId("document-name").value || byId("document-state").value;
  const empty = listed.total ? "" : t(filtered ? "documents.none" : "documents.empty");
  fill(
    byId("documents-state"),
    problem
      ? h("div", { class: "state problem", role: "alert" }, h("p", {}, explained(problem)), h("button", { type: "button", on: { click: load } }, t("retry")))
      : empty
        ? h("p", { class: "state" }, empty)
        : null,
  );
}

function row(one) {
  const { first_page: first } = one;
  const name = first
    ? h("a", { class: "document-name", href: `/?view=documents&page=${encodeURIComponent(first.id)}`, on: { click: (event) => open(event, first.id) } }, one.name)
    : h("span", { class: "document-name" }, one.name);
  return h(
    "li",
    { class: `document ${one.state}`, dataset: { id: one.id } },
    first ? thumbnail(first) : h("span", { class: "thumb" }, icon(one.state === "failed" ? "alert" : "page")),
    h(
      "div",
      { class: "document-text" },
      name,
      h(
        "p",
        { class: "card-facts" },
        h("span", { class: `state-mark ${one.state}` }, icon({ done: "check", failed: "alert", pending: "clock" }[one.state]), t(`state.${one.state}`)),
        one.kind ? h("span", {}, named("kind", one.kind)) : null,
        one.pages ? h("span", {}, t("documents.pages", { n: one.pages })) : null,
        h("span", {}, bytes(one.bytes)),
        h("span", {}, date(one.added)),
      ),
      one.reason ? h("p", { class: "reason" }, one.reason) : null,
      one.failed_pages.length
        ? h(
            "details",
            { class: "failed-pages" },
            h("summary", {}, t("documents.failedpages", { n: one.failed_pages.length })),
            one.failed_pages.map((page) => h("p", { class: "reason" }, t("documents.failedpage", page))),
          )
        : null,
    ),
    h(
      "div",
      { class: "buttons" },
      one.pages ? control("search", t("documents.search"), () => searchInDocument(one.id), one.name) : null,
      info()?.writable ? control("trash", t("documents.delete", { name: one.name }), () => remove(one)) : null,
    ),
  );
}

function control(picture, label, click, of = "") {
  return h(
    "button",
    { type: "button", class: "plain", title: label, "aria-label": of ? `${label}: ${of}` : label, on: { click } },
    icon(picture),
  );
}

function remove(one) {
  byId("delete-text").textContent = t(one.uploaded ? "delete.text.uploaded" : "delete.text", { name: one.name, n: one.pages });
  openDialog(byId("delete-dialog"), async (answer) => {
    if (answer !== "delete") return;
    try {
      await api.remove(one.id);
      toast(t("documents.deleted", { name: one.name }));
    } catch (error) {
      toast(explained(error));
    }
    byId("document-name").focus();
    forgetResults();
    await Promise.all([load(), loadInfo().catch(() => {})]);
  });
  byId("delete-cancel").focus();
}
