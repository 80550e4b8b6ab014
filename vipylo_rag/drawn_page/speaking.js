// Saying the words of a page (WORDS) in its reader's language.
let language = (navigator.languages || ["en"]).map((l) => l.slice(0, 2)).find((l) => l in WORDS) || "en";

function say(word, values = {}) {
  return WORDS[language][word].replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

const counted = (number) => number.toLocaleString(language);
