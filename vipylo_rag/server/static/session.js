// Who the reader is to the server, and what the server is: the key dialog, logging out, /api/info.

import { ApiError, api, onKeyNeeded } from "./api.js";
import { byId, openDialog, toast } from "./dom.js";
import { t } from "./i18n.js";

const KEY = "vipylo.session";
const listeners = new Set();
let known = null;
let asking = null;

/** What the server says of itself, or null before it was reached. */
export const info = () => known;

export function onInfo(listener) {
  listeners.add(listener);
}

/** Ask anew what the server is and holds. */
export async function loadInfo() {
  known = await api.info();
  for (const listener of listeners) listener(known);
}

export function startSession() {
  onKeyNeeded(() => {
    remember(false);
    asking ??= askForKey().finally(() => {
      asking = null;
    });
    return asking;
  });
  byId("logout").hidden = !remembered();
  byId("logout").addEventListener("click", async () => {
    await api.logOut();
    remember(false);
    toast(t("logout.done"));
    location.assign("/");
  });
  byId("key-cancel").addEventListener("click", () => byId("key-dialog").close());
}

function askForKey() {
  const [dialog, form, input, problem] = ["key-dialog", "key-form", "key", "key-problem"].map(byId);
  input.value = "";
  problem.hidden = true;
  return new Promise((resolve) => {
    const submitted = async (event) => {
      event.preventDefault();
      try {
        await api.logIn(input.value);
        remember(true);
        dialog.close("in");
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        problem.textContent = error.status === 401 ? t("key.wrong") : explained(error);
        problem.hidden = false;
        input.select();
      }
    };
    form.addEventListener("submit", submitted);
    openDialog(dialog, (value) => {
      form.removeEventListener("submit", submitted);
      input.value = "";
      resolve(value === "in");
    });
    input.focus();
  });
}

/** An error in the reader's words; the server's own sentence where it says what to do. */
export function explained(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 0) return t("error.offline");
  if (error.status === 401) return t("error.key");
  if (error.status === 429) return t("error.busy.short");
  if (error.status === 503) return error.detail || t("error.unavailable");
  return error.detail || t("error.server", { status: String(error.status) });
}

function remembered() {
  try {
    return localStorage.getItem(KEY) === "1";
  } catch {
    return false;
  }
}

// The cookie is out of a script's sight; this only decides whether "log out" is offered.
function remember(there) {
  byId("logout").hidden = !there;
  try {
    if (there) localStorage.setItem(KEY, "1");
    else localStorage.removeItem(KEY);
  } catch {
    // Then it is offered until the next load.
  }
}
