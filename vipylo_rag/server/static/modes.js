// The way to search, chosen on the search tab or the ask tab: one choice for both, kept in the address.

import { byId } from "./dom.js";
import { onLanguage, t } from "./i18n.js";
import { navigate, onRoute, route } from "./route.js";
import { info, onInfo } from "./session.js";

/** Call `searched` when another mode is chosen on the search tab. */
export function startModes(searched) {
  byId("modes").addEventListener("change", searched);
  byId("ask-modes").addEventListener("change", (event) => navigate({ mode: event.target.value }, { replace: true }));
  onRoute(showModes);
  onLanguage(showModes);
  onInfo((known) => {
    for (const label of document.querySelectorAll("[data-mode-graph]")) label.hidden = !(known.graph || known.writable);
  });
}

/** The mode that is chosen on the search tab, which a search takes into the address. */
export const chosenMode = () => document.querySelector("#modes input:checked").value;

/** Whether mode graph is asked for, and this server could make the graph that it needs. */
export function lacksGraph(mode) {
  const known = info();
  return mode === "graph" && known !== null && !known.graph && known.writable;
}

function showModes() {
  const { mode } = route();
  for (const input of document.querySelectorAll(`.segmented input[value="${mode}"]`)) input.checked = true;
  for (const hint of document.querySelectorAll("[data-mode-hint]")) hint.textContent = t(`mode.${mode}.hint`);
}
