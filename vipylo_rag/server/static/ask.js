// Asking: a question with or without pictures, the answer as it comes, its citations and sources.

import { ApiError, api } from "./api.js";
import { answerNodes } from "./answer_text.js";
import { thumbnail } from "./cards.js";
import { announce, byId, fill, h, icon, toast } from "./dom.js";
import { offerGraph } from "./graph.js";
import { currentLanguage, onLanguage, t } from "./i18n.js";
import { marked } from "./marks.js";
import { lacksGraph } from "./modes.js";
import { Pictures } from "./pictures.js";
import { openPage, route } from "./route.js";
import { explained, info, onInfo } from "./session.js";
import { events } from "./sse.js";

let pictures;
// Newest first: {question, images, mode, text, pages, result, problem, stopped, running (AbortController or null), place}.
const thread = [];
// Whether the page graph that the mode needs is offered to be built.
let offered = false;

export function startAsk() {
  pictures = new Pictures({ place: byId("ask-pictures"), button: byId("ask-image"), zone: byId("view-ask"), changed: () => {} });
  byId("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const question = byId("question").value.trim();
    if (!question || byId("ask-submit").disabled) return;
    ask(question, pictures.files, route().mode);
    byId("question").value = "";
    pictures.set([]);
    grow();
  });
  byId("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("ask-form").requestSubmit();
  });
  byId("question").addEventListener("input", grow);
  onLanguage(() => {
    offered = false;
    show();
  });
  onInfo(show);
}

function grow() {
  const box = byId("question");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, 240)}px`;
}

/** The tab was opened, or another mode chosen. */
export function showAsk() {
  show();
}

function show() {
  const known = info();
  byId("ask-model").textContent = known ? (known.llm ? t("ask.model", { name: known.llm }) : t("ask.nomodel")) : "";
  const lacks = lacksGraph(route().mode);
  byId("ask-submit").disabled = lacks || thread.some((one) => one.running);
  if (!lacks) fill(byId("ask-graph"));
  else if (!offered) offerGraph(byId("ask-graph"));
  offered = lacks;
  if (thread.length) fill(byId("thread"), thread.map((one) => one.place));
  else {
    const lead = h("p", { class: "lead" }, t("ask.start.text"));
    fill(byId("thread"), h("div", { class: "start" }, h("h1", {}, t("ask.start.title")), lead));
  }
  for (const one of thread) draw(one);
}

async function ask(question, images, mode) {
  const one = { question, images, mode, text: "", pages: [], result: null, problem: null, stopped: false, running: new AbortController(), place: h("article", { class: "answer" }) };
  thread.unshift(one);
  show();
  announce(t("ask.reading"));
  try {
    await read(one);
    if (!one.result && !one.problem) one.problem = t("ask.cut");
  } catch (error) {
    if (error.name === "AbortError") one.stopped = true;
    else if (error instanceof ApiError) one.problem = explained(error);
    else one.problem = t("ask.cut"); // the stream broke
  }
  one.running = null;
  show();
  announce(one.problem ?? t(one.stopped ? "ask.stopped" : "ask.done"));
}

async function read(one) {
  const response = await api.ask({ question: one.question, images: one.images, mode: one.mode, language: "" }, one.running.signal);
  for await (const { event, data } of events(response)) {
    if (event === "pages") one.pages = data.pages;
    else if (event === "token") one.text += data.text;
    else if (event === "done") Object.assign(one, { result: data, text: data.answer, pages: data.pages });
    else if (event === "error") one.problem = data.detail;
    draw(one);
  }
}

function draw(one) {
  const { question, images, mode, text, pages, result, problem, running } = one;
  const cite = (number) => citation(one, number);
  fill(
    one.place,
    h(
      "header",
      {},
      h("h2", {}, question),
      images.length ? h("p", { class: "hint" }, t("ask.pictures", { n: images.length })) : null,
      mode !== "hybrid" ? h("p", { class: "hint" }, `${t("mode.label")}: ${t(`mode.${mode}`)}`) : null,
    ),
    result && !result.found ? h("p", { class: "tag plainly" }, t("ask.notfound")) : null,
    result?.found && !result.generated ? h("p", { class: "tag" }, t("ask.quoted")) : null,
    running && !text ? h("p", { class: "hint working" }, h("i", { class: "spinner", "aria-hidden": "true" }), pages.length ? t("ask.writing", { n: pages.length }) : t("ask.reading")) : null,
    h("div", { class: running && text ? "answer-text streaming" : "answer-text", lang: result?.language ?? currentLanguage() }, answerNodes(text, cite)),
    problem ? h("p", { class: "problem", role: "alert" }, icon("alert"), problem) : null,
    one.stopped ? h("p", { class: "hint" }, t("ask.stopped")) : null,
    h(
      "div",
      { class: "buttons" },
      running ? control("stop", t("ask.stop"), () => one.running.abort()) : null,
      !running && text ? control("copy", t("copy"), () => copy(text)) : null,
      !running && (problem || one.stopped) ? h("button", { type: "button", class: "quiet", on: { click: () => again(one) } }, t("ask.again")) : null,
    ),
    sources(one),
  );
}

const control = (picture, label, click) => h("button", { type: "button", class: "quiet", on: { click } }, icon(picture), label);

async function copy(text) {
  await navigator.clipboard.writeText(text);
  toast(t("copied"));
}

function again(one) {
  thread.splice(thread.indexOf(one), 1);
  ask(one.question, one.images, one.mode);
}

/** What a [number] stands for: the citation with its passage once the answer is whole, the page given before that. */
function cited(one, number) {
  const found = one.result?.citations.find((citation) => citation.number === number);
  const page = found?.page ?? one.pages[number - 1];
  return page ? { page, quote: found?.quote ?? "", boxes: found?.boxes ?? [] } : null;
}

function openCited(one, { page, quote, boxes }) {
  openPage(page.id, { text: one.question, images: one.images, page: page.id, quote, boxes });
}

function citation(one, number) {
  const found = cited(one, number);
  if (!found) return null;
  const label = t("ask.cite", { n: number, name: found.page.name, page: found.page.page });
  return h("button", { type: "button", class: "cite", "aria-label": label, title: label, on: { click: () => openCited(one, found) } }, `[${number}]`);
}

function sources(one) {
  const { result, pages } = one;
  if (!pages.length) return null;
  const numbers = result?.citations.map((citation) => citation.number) ?? [];
  const nearest = !numbers.length;
  const shown = nearest ? pages.map((_, at) => at + 1) : [...new Set(numbers)];
  if (!result && one.running && !one.text) return null;
  return h(
    "section",
    { class: "sources" },
    h("h3", {}, t(nearest && result ? "ask.nearest" : "ask.sources")),
    h("ol", {}, shown.map((number) => source(one, number))),
  );
}

function source(one, number) {
  const found = cited(one, number);
  const words = found.quote || one.pages.find((page) => page.id === found.page.id)?.snippet || "";
  return h(
    "li",
    {},
    h(
      "button",
      { type: "button", class: "source", "aria-label": t("ask.cite", { n: number, name: found.page.name, page: found.page.page }), on: { click: () => openCited(one, found) } },
      thumbnail(found.page, words),
      h(
        "span",
        { class: "source-text" },
        h("span", { class: "card-name" }, h("b", {}, `[${number}] `), found.page.name, h("span", { class: "hint" }, ` · ${t("results.page", { n: found.page.page })}`)),
        words ? h("span", { class: "quote" }, marked(words, one.question)) : null,
      ),
    ),
  );
}
