// The interface's words in three languages; Vietnamese where the browser asks for none of them.

import en from "./lang/en.js";
import vi from "./lang/vi.js";
import zh from "./lang/zh.js";

const LANGUAGES = { vi, en, zh };
const KEY = "vipylo.language";
const listeners = new Set();
let language = "vi";

/** The words for a key with {names} filled in; of `key_one` and `key`, the first where `n` is one in this language. */
export function t(key, params = {}) {
  const words = LANGUAGES[language];
  const one = "n" in params && new Intl.PluralRules(language).select(params.n) === "one";
  const text = (one && words[`${key}_one`]) || words[key];
  if (text === undefined) throw new Error(`no words for ${key} in ${language}`);
  return text.replace(/\{(\w+)\}/g, (_, name) =>
    typeof params[name] === "number" ? params[name].toLocaleString(language) : params[name],
  );
}

/** The words for a key that may not be there, such as a kind of file that a plug-in brings: then the value itself. */
export function named(prefix, value) {
  return LANGUAGES[language][`${prefix}.${value}`] ?? value;
}

export const currentLanguage = () => language;

/** Call `listener` whenever the language changes. */
export function onLanguage(listener) {
  listeners.add(listener);
}

export function setLanguage(chosen) {
  language = chosen in LANGUAGES ? chosen : "vi";
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // Not remembered, then.
  }
  apply();
  for (const listener of listeners) listener();
}

/** Take the remembered language, or the first of the browser's that there is. */
export function startLanguage() {
  let chosen = null;
  try {
    chosen = localStorage.getItem(KEY);
  } catch {
    // Nothing is remembered.
  }
  const asked = navigator.languages.map((tag) => tag.toLowerCase().split("-")[0]);
  language = chosen in LANGUAGES ? chosen : (asked.find((tag) => tag in LANGUAGES) ?? "vi");
  apply();
}

/** Put words into the page's own elements: data-t is their text, data-t-NAME an attribute. */
function apply() {
  document.documentElement.lang = language;
  document.title = t("title");
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const [mark, attribute] of [
    ["tLabel", "aria-label"],
    ["tTitle", "title"],
    ["tPlaceholder", "placeholder"],
  ]) {
    const selector = `[data-${mark.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}]`;
    for (const element of document.querySelectorAll(selector)) element.setAttribute(attribute, t(element.dataset[mark]));
  }
}

/** A number with so many decimals; what rounds to nothing is 0, never -0. */
export function number(value, digits = 0) {
  const rounded = Math.round(value * 10 ** digits) / 10 ** digits || 0;
  return rounded.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A score: three digits that tell, whatever its size. */
export const score = (value) => value.toLocaleString(language, { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });

export function bytes(size) {
  const units = ["B", "KB", "MB", "GB"];
  const step = size < 1 ? 0 : Math.min(Math.floor(Math.log2(size) / 10), units.length - 1);
  const value = size / 1024 ** step;
  return `${number(value, step && value < 100 ? 1 : 0)} ${units[step]}`;
}

export const date = (iso) => new Date(iso).toLocaleDateString(language, { year: "numeric", month: "short", day: "numeric" });
