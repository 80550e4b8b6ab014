// The server's HTTP interface. Every failure is an ApiError, whose `status` is 0 where the server was not reached.

export class ApiError extends Error {
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let askForKey = async () => false;

/** What to do on 401: an async function that resolves to whether there is a session now. */
export function onKeyNeeded(asker) {
  askForKey = asker;
}

/** The response of a request that went well; asks for the key, once, where the server wants one. */
export async function request(path, options = {}) {
  let response = await reached(path, options);
  if (response.status === 401 && (await askForKey())) response = await reached(path, options);
  if (!response.ok) throw await problem(response);
  return response;
}

async function reached(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "");
  }
}

async function problem(response) {
  let detail = "";
  try {
    detail = sentence((await response.json()).detail);
  } catch {
    // No JSON: a proxy's page, not the server's words.
  }
  return new ApiError(response.status, detail, Number(response.headers.get("Retry-After")) || 0);
}

function sentence(detail) {
  if (typeof detail === "string") return detail;
  return Array.isArray(detail) ? detail.map((one) => one.msg ?? "").join("; ") : "";
}

const json = async (path, options) => (await request(path, options)).json();

/** The parts of a query as a form. */
function queryForm(fields, images) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value !== "" && value !== null) form.append(name, value);
  for (const image of images) form.append("images", image, image.name || "image");
  return form;
}

const path = (id) => encodeURIComponent(id);

export const api = {
  info: () => json("/api/info"),
  facets: () => json("/api/facets"),
  graph: () => json("/api/graph"),
  buildGraph: () => json("/api/graph", { method: "POST" }),
  search: ({ text, images, mode, where, topK }, signal) =>
    json("/api/search", {
      method: "POST",
      body: queryForm({ text, mode, top_k: topK, where: where ? JSON.stringify(where) : "" }, images),
      signal,
    }),
  page: (id, signal) => json(`/api/pages/${path(id)}`, { signal }),
  explain: (id, { text, images }, signal) =>
    json(`/api/pages/${path(id)}/explain`, { method: "POST", body: queryForm({ text }, images), signal }),
  ask: ({ question, images, mode, language }, signal) =>
    request("/api/ask", {
      method: "POST",
      headers: { Accept: "text/event-stream" },
      body: queryForm({ question, mode, language }, images),
      signal,
    }),
  documents: ({ state = "", name = "", offset = 0, limit = 50 } = {}, signal) => {
    const asked = new URLSearchParams({ offset, limit });
    if (state) asked.set("state", state);
    if (name) asked.set("name", name);
    return json(`/api/documents?${asked}`, { signal });
  },
  remove: (id) => request(`/api/documents/${path(id)}`, { method: "DELETE" }),
  uploads: () => json("/api/uploads"),
  upload: (id) => json(`/api/uploads/${path(id)}`),
  send: (files, progress) => sent(files, progress, true),
  logIn: (key) =>
    reached("/api/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ key }),
    }).then(async (response) => {
      if (!response.ok) throw await problem(response);
    }),
  logOut: () => reached("/api/session", { method: "DELETE" }),
};

// fetch tells nothing of how far a body is sent, so files go by XMLHttpRequest.
function sent(files, progress, mayAskForKey) {
  return new Promise((resolve, reject) => {
    const form = new FormData();
    for (const file of files) form.append("files", file, file.name);
    const call = new XMLHttpRequest();
    call.open("POST", "/api/documents");
    call.responseType = "text";
    call.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) progress(event.loaded / event.total);
    });
    call.addEventListener("error", () => reject(new ApiError(0, "")));
    call.addEventListener("load", async () => {
      if (call.status === 401 && mayAskForKey && (await askForKey())) {
        sent(files, progress, false).then(resolve, reject);
        return;
      }
      let body = {};
      try {
        body = JSON.parse(call.responseText);
      } catch {
        // No JSON: told below by its status.
      }
      if (call.status >= 200 && call.status < 300) resolve(body);
      else reject(new ApiError(call.status, sentence(body.detail), Number(call.getResponseHeader("Retry-After")) || 0));
    });
    call.send(form);
  });
}
