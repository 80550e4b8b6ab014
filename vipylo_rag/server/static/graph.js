// The page graph that mode graph goes along: where there is none, it is built from here, and shown how far that is.

import { ApiError, api } from "./api.js";
import { announce, fill, h, icon } from "./dom.js";
import { number, t } from "./i18n.js";
import { explained, loadInfo } from "./session.js";

const EVERY_MS = 700;

/** Offers to build the graph, in a place of the page's that is shown; once there is one, `info().graph` says so. */
export async function offerGraph(place) {
  const panel = h("div", { class: "state graph-offer" });
  fill(place, panel);
  await follow(panel, api.graph);
}

async function follow(panel, ask) {
  let said = null;
  while (panel.isConnected) {
    try {
      said = await ask();
      ask = api.graph;
      if (said.ready) {
        announce(t("graph.done"));
        await loadInfo();
        return;
      }
      draw(panel, said);
      if (!["waiting", "building"].includes(said.state)) return;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // A server that cannot be reached for a moment goes on building.
      if (!said || ![0, 429, 503].includes(error.status)) {
        draw(panel, { state: "none", stale: 0, reason: explained(error) });
        return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function draw(panel, said) {
  if (said.state === "none") {
    const button = h("button", { type: "button", class: "primary", on: { click: () => follow(panel, api.buildGraph) } }, t("graph.build"));
    fill(
      panel,
      h("p", { class: "state-title" }, t("graph.none.title")),
      h("p", {}, t("graph.none.text")),
      said.reason ? h("p", { class: "problem", role: "alert" }, icon("alert"), said.reason) : null,
      button,
    );
    return;
  }
  const { progress } = said;
  // What follows the reading has no end that is known at its beginning.
  const share = progress?.total ? progress.done / progress.total : null;
  const line = progress ? t(`graph.phase.${progress.phase}`) : t("graph.waiting");
  fill(
    panel,
    h("p", { class: "state-title" }, h("i", { class: "spinner", "aria-hidden": "true" }), t("graph.building.title")),
    h("progress", { max: 1, value: share ?? undefined, "aria-label": t("graph.building.title") }),
    h("p", { class: "graph-phase" }, share === null ? line : t("graph.count", { phase: line, done: number(progress.done), total: number(progress.total) })),
    h("p", {}, said.reason ?? t("graph.meanwhile")),
  );
}

/** A note of pages that the graph has not yet, or null. */
export async function graphNote() {
  const { stale } = await api.graph();
  return stale ? h("p", { class: "note" }, t("graph.stale", { n: stale })) : null;
}
