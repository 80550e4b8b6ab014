// The filters beside the results: kinds and documents, with how many pages each has; the chosen ones as chips above.

import { api } from "./api.js";
import { byId, fill, h, icon } from "./dom.js";
import { named, number, t } from "./i18n.js";
import { navigate, route } from "./route.js";

let facets = { kinds: [], documents: [] };
let wanted = "";

export async function loadFacets() {
  facets = await api.facets();
  showFilters();
}

/** The filter that the server takes, or null without one. */
export function where({ kinds, documents }) {
  const found = {};
  if (kinds.length) found.kind = kinds;
  if (documents.length) found.document = documents;
  return kinds.length || documents.length ? found : null;
}

const labelOfKind = (value) => named("kind", value);
const labelOfDocument = (id) => facets.documents.find((one) => one.value === id)?.label ?? t("filter.one");

/** Draw filters and chips as the address says. */
export function showFilters() {
  const here = route();
  const chosen = here.kinds.length + here.documents.length;
  byId("filter-count").hidden = !chosen;
  byId("filter-count").textContent = String(chosen);
  fill(
    byId("filter-body"),
    group(t("filter.kind"), facets.kinds, "kinds", here.kinds, ({ value }) => labelOfKind(value)),
    facets.documents.length > 8 ? finder() : null,
    group(t("filter.document"), facets.documents, "documents", here.documents, ({ label }) => label),
  );
  narrow();
  fill(
    byId("filter-chips"),
    here.kinds.map((value) => chip("kinds", value, labelOfKind(value))),
    here.documents.map((value) => chip("documents", value, labelOfDocument(value))),
    chosen > 1
      ? h("button", { type: "button", class: "link", on: { click: () => navigate({ kinds: [], documents: [] }) } }, t("filter.clear"))
      : null,
  );
}

function group(title, values, field, chosen, label) {
  if (!values.length) return null;
  return h(
    "fieldset",
    { class: "facet", dataset: { field } },
    h("legend", {}, title),
    values.map((facet) =>
      h(
        "label",
        { dataset: { name: label(facet).toLowerCase() } },
        h("input", {
          type: "checkbox",
          value: facet.value,
          checked: chosen.includes(facet.value),
          on: { change: (event) => choose(field, facet.value, event.target.checked) },
        }),
        h("span", { class: "name", title: label(facet) }, label(facet)),
        h("span", { class: "count" }, number(facet.pages)),
      ),
    ),
  );
}

function finder() {
  return h("input", {
    type: "search",
    id: "filter-find",
    value: wanted,
    placeholder: t("filter.find"),
    "aria-label": t("filter.find"),
    on: {
      input: (event) => {
        wanted = event.target.value;
        narrow();
      },
    },
  });
}

function narrow() {
  for (const label of document.querySelectorAll("#filter-body [data-field='documents'] label")) {
    label.hidden = !label.dataset.name.includes(wanted.trim().toLowerCase());
  }
}

function choose(field, value, on) {
  const others = route()[field].filter((one) => one !== value);
  navigate({ [field]: on ? [...others, value] : others });
  document.querySelector(`#filter-body [data-field='${field}'] input[value="${CSS.escape(value)}"]`)?.focus();
}

function chip(field, value, label) {
  return h(
    "button",
    {
      type: "button",
      class: "chip",
      "aria-label": t("filter.remove", { name: label }),
      on: {
        click: () => {
          choose(field, value, false);
          byId("query").focus();
        },
      },
    },
    h("span", {}, label),
    icon("close"),
  );
}
