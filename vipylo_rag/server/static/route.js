// Where the reader is, kept in the address: the back button works and links can be shared. Pictures of a query and the
// passage that a page was opened for do not fit into an address; they are kept in memory under a token in the history.

const VIEWS = ["search", "ask", "documents"];
const MODES = ["hybrid", "dense", "lexical", "graph"];
const listeners = new Set();
const kept = new Map();

/** {view, q, mode, kinds, documents, page, images, context}: what the address and the history's entry say. */
export function route() {
  const asked = new URLSearchParams(location.search);
  const one = (name, values) => (values.includes(asked.get(name)) ? asked.get(name) : values[0]);
  return {
    view: one("view", VIEWS),
    q: asked.get("q") ?? "",
    mode: one("mode", MODES),
    kinds: asked.getAll("kind"),
    documents: asked.getAll("document"),
    page: asked.get("page") ?? "",
    images: history.state?.images ?? "",
    context: history.state?.context ?? "",
    opened: history.state?.opened ?? false,
  };
}

export function address({ view, q, mode, kinds, documents, page }) {
  const asked = new URLSearchParams();
  if (view !== "search") asked.set("view", view);
  if (q) asked.set("q", q);
  if (mode !== "hybrid") asked.set("mode", mode);
  for (const kind of kinds) asked.append("kind", kind);
  for (const id of documents) asked.append("document", id);
  if (page) asked.set("page", page);
  const query = asked.toString();
  return query ? `/?${query}` : "/";
}

/** Go to where `changes` lead from here. */
export function navigate(changes, { replace = false } = {}) {
  const next = { ...route(), ...changes };
  const state = { images: next.images, context: next.context, opened: next.opened };
  history[replace ? "replaceState" : "pushState"](state, "", address(next));
  tell();
}

/** Open a page over what is shown; `context` is what it is opened for: {text, images, boxes, quote}. */
export function openPage(id, context = null) {
  navigate({ page: id, context: context ? keep(context) : "", opened: true });
}

export function closePage() {
  if (!route().page) return;
  if (route().opened) history.back();
  else navigate({ page: "", context: "" }, { replace: true });
}

export function onRoute(listener) {
  listeners.add(listener);
}

export function tell() {
  for (const listener of listeners) listener(route());
}

/** Keep something for as long as the browser's tab lives; the token finds it again. */
export function keep(value) {
  const token = `k${kept.size + 1}-${Date.now().toString(36)}`;
  kept.set(token, value);
  return token;
}

export const recall = (token) => kept.get(token) ?? null;

addEventListener("popstate", tell);
