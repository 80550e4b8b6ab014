// Uploading: files by button, by drop, or a folder; what becomes of each, and why one failed.

import { ApiError, api } from "./api.js";
import { announce, byId, fill, h, icon, toast } from "./dom.js";
import { bytes, onLanguage, t } from "./i18n.js";
import { onDrop } from "./pictures.js";
import { explained, info, onInfo } from "./session.js";

const AT_ONCE = 100;
const EVERY_MS = 700;
const uploads = [];
let changed = () => {};

/** `whenChanged` is called when an upload brought something new. */
export function startUploads(whenChanged) {
  changed = whenChanged;
  byId("choose-files").addEventListener("click", () => byId("files-input").click());
  byId("choose-folder").addEventListener("click", () => byId("folder-input").click());
  for (const id of ["files-input", "folder-input"]) {
    byId(id).addEventListener("change", ({ target }) => {
      add([...target.files]);
      target.value = "";
    });
  }
  onDrop(byId("view-documents"), () => t(info()?.writable ? "upload.cover" : "documents.readonly"), async (transfer) => {
    if (info()?.writable) add(await dropped(transfer));
  });
  onLanguage(show);
  onInfo((known) => {
    byId("drop-zone").hidden = !known.writable;
    byId("read-only").hidden = known.writable;
    byId("upload-limits").textContent = t("upload.limits", { file: bytes(known.limits.file_bytes) });
  });
  onLanguage(() => {
    if (info()) byId("upload-limits").textContent = t("upload.limits", { file: bytes(info().limits.file_bytes) });
  });
}

/** Take up the uploads that the server is still busy with, as after a reload. */
export async function resumeUploads() {
  if (!info()?.writable) return;
  for (const one of await api.uploads()) {
    if (one.state === "done" || uploads.some((known) => known.id === one.id)) continue;
    const upload = { id: one.id, sent: 1, files: one.files, problem: null };
    uploads.push(upload);
    watch(upload);
  }
  show();
}

/** Send files: what the server would refuse is told at once, the rest goes in parts that it takes. */
function add(files) {
  const { file_bytes, upload_bytes } = info().limits;
  const usable = files.filter((file) => !file.name.startsWith("."));
  if (!usable.length) {
    toast(t("upload.nothing"));
    return;
  }
  const refused = [];
  const parts = [[]];
  let size = 0;
  for (const file of usable) {
    const reason = file.size > file_bytes ? t("upload.large", { size: bytes(file_bytes) }) : file.size ? null : t("upload.empty");
    if (reason) {
      refused.push({ name: file.name, state: "failed", pages: 0, reason, failed_pages: [] });
      continue;
    }
    if (parts.at(-1).length >= AT_ONCE || (size + file.size > upload_bytes * 0.98 && parts.at(-1).length)) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1).push(file);
    size += file.size;
  }
  if (refused.length) uploads.unshift({ id: null, sent: 1, files: refused, problem: null });
  const waiting = parts.filter((part) => part.length).map((part) => {
    const rows = part.map((file) => ({ name: file.name, state: "sending", pages: 0, reason: null, failed_pages: [] }));
    const upload = { id: null, sent: 0, files: rows, problem: null };
    uploads.unshift(upload);
    return [upload, part];
  });
  show();
  sendAll(waiting);
}

async function sendAll(waiting) {
  for (const [upload, part] of waiting) {
    try {
      const taken = await api.send(part, (share) => {
        upload.sent = share;
        show();
      });
      Object.assign(upload, { id: taken.id, sent: 1, files: taken.files });
      watch(upload);
    } catch (error) {
      fail(upload, error);
    }
    show();
  }
}

async function watch(upload) {
  let seen = -1;
  while (true) {
    try {
      const now = await api.upload(upload.id);
      upload.files = now.files;
      const ready = now.files.filter((file) => !["waiting", "reading"].includes(file.state)).length;
      if (ready !== seen || now.state === "done") changed();
      seen = ready;
      show();
      if (now.state === "done") {
        announce(summary(upload));
        return;
      }
    } catch (error) {
      // A server that cannot be reached for a moment goes on reading; one that forgot the upload does not.
      if (error instanceof ApiError && ![0, 429, 503].includes(error.status)) {
        fail(upload, error);
        show();
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function fail(upload, error) {
  const reason = error.status === 404 ? t("upload.lost") : explained(error);
  upload.files = upload.files.map((file) =>
    ["sending", "waiting", "reading"].includes(file.state) ? { ...file, state: "failed", reason } : file,
  );
}

const running = (upload) => upload.files.some((file) => ["sending", "waiting", "reading"].includes(file.state));

function summary({ files }) {
  const failed = files.filter((file) => file.state === "failed").length;
  return t("upload.summary", { done: files.length - failed, failed });
}

function show() {
  fill(
    byId("uploads"),
    uploads.map((upload) =>
      h(
        "section",
        { class: "upload" },
        h(
          "header",
          {},
          h("h2", {}, t("upload.title", { n: upload.files.length })),
          running(upload)
            ? null
            : [
                h("span", { class: "hint" }, summary(upload)),
                h("button", { type: "button", class: "quiet", on: { click: () => hide(upload) } }, t("upload.hide")),
              ],
        ),
        h("ul", {}, upload.files.map((file) => row(file, upload))),
      ),
    ),
  );
}

function hide(upload) {
  uploads.splice(uploads.indexOf(upload), 1);
  show();
  byId("choose-files").focus();
}

function row(file, upload) {
  const state = file.state === "sending" && upload.sent >= 1 ? "waiting" : file.state;
  const known = { done: "check", unchanged: "check", failed: "alert" };
  return h(
    "li",
    { class: `upload-file ${state}` },
    h("span", { class: "mark" }, state in known ? icon(known[state]) : h("i", { class: "spinner", "aria-hidden": "true" })),
    h("span", { class: "upload-name", title: file.sent_as ?? file.name }, file.sent_as ?? file.name),
    h("span", { class: "upload-state" }, words(file, state, upload)),
    state === "sending" ? h("progress", { max: 1, value: upload.sent, "aria-label": file.name }) : null,
    state === "reading" ? h("progress", { "aria-label": file.name }) : null,
    file.sent_as ? h("p", { class: "hint" }, t("upload.renamed", { name: file.name })) : null,
    file.reason ? h("p", { class: "reason" }, file.reason) : null,
    file.failed_pages.map((one) => h("p", { class: "reason" }, t("documents.failedpage", one))),
  );
}

function words(file, state, upload) {
  if (state === "sending") return t("upload.sending", { percent: Math.round(upload.sent * 100) });
  if (state === "reading" && file.pages) return t("upload.reading.pages", { n: file.pages });
  return t(`upload.${state}`, { n: file.pages });
}

/** The files of a drop, those inside dropped folders too. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = [];
  for (const entry of entries) await gather(entry, found);
  return found;
}

async function gather(entry, found) {
  if (entry.isFile) found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
  else {
    const reader = entry.createReader();
    let batch;
    do {
      batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      for (const one of batch) await gather(one, found);
    } while (batch.length);
  }
}
