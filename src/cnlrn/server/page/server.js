// What computes, behind one interface: about, inspect, restore (with progress and cancel) and preview.
// Here it is the HTTP API of the server that this page comes from.

const LONGEST_WAIT = 30; // seconds before a full queue is asked again, whatever the server says

/** What went wrong, in the server's words; `code` tells its kind. */
export class Problem extends Error {
  constructor(detail, code, status) {
    super(detail.charAt(0).toUpperCase() + detail.slice(1));
    this.code = code;
    this.status = status;
  }
}

let askForToken = async () => {};

/** `ask(words)` shall return when the user has signed in. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

export async function signIn(token) {
  await asked("v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
}

/** Version, models, formats and limits. */
export async function about() {
  return (await request("v1/models")).json();
}

/** What a picture is and what would be done with it, before anything is computed. */
export async function inspect(file, options, signal) {
  const { model, scale, width, force } = options;
  return (await request("v1/inspect", { method: "POST", body: form(file, { model, scale, width, force }), signal })).json();
}

/** The picture as a PNG that browsers can show, at most `side` pixels wide and high. */
export async function preview(file, side) {
  return (await request(`v1/preview?side=${side}`, { method: "POST", body: form(file, {}) })).blob();
}

/** The restored picture: {blob, suffix, notes, plan}. `progress(view)` hears how far it is; `signal` cancels. */
export async function restore(file, options, progress, signal) {
  const job = await (await request("v1/jobs", { method: "POST", body: form(file, options), signal })).json();
  const place = `v1/jobs/${job.id}`;
  const forget = () => fetch(place, { method: "DELETE", keepalive: true }).catch(() => {});
  addEventListener("pagehide", forget);
  try {
    const view = await finished(place, progress, signal);
    if (view.problem) throw new Problem(view.problem.detail, view.problem.code, view.problem.status);
    const blob = await (await request(`${place}/result`, { signal })).blob();
    return { blob, suffix: view.suffix, notes: view.notes, plan: view.plan };
  } finally {
    removeEventListener("pagehide", forget);
    forget();
  }
}

function finished(place, progress, signal) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(`${place}/events`);
    const end = (act, value) => {
      events.close();
      signal.removeEventListener("abort", abort);
      act(value);
    };
    const abort = () => end(reject, signal.reason);
    signal.addEventListener("abort", abort);
    if (signal.aborted) abort();
    events.onmessage = (event) => {
      const view = JSON.parse(event.data);
      progress(view);
      if (["done", "failed", "cancelled"].includes(view.state)) end(resolve, view);
    };
    events.onerror = () => {
      if (events.readyState === EventSource.CLOSED) end(reject, gone());
      else request(place, { signal }).catch((error) => end(reject, error)); // it connects again unless the job is lost
    };
  });
}

function form(file, options) {
  const data = new FormData();
  for (const [name, value] of Object.entries(options)) if (value !== undefined && value !== "") data.set(name, value);
  data.set("picture", file);
  return data;
}

/** A request's response; it signs in where that is needed, and waits where the queue is full. */
async function request(path, init = {}) {
  for (;;) {
    try {
      return await asked(path, init);
    } catch (error) {
      if (error.status === 401) await askForToken();
      else if (error.status === 429) await pause(Math.min(error.wait, LONGEST_WAIT), init.signal);
      else throw error;
    }
  }
}

async function asked(path, init) {
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    throw error.name === "AbortError" || init.signal?.aborted ? error : gone();
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({ detail: `the server answers ${response.status}`, code: "unexpected" }));
  const problem = new Problem(told.detail, told.code, response.status);
  problem.wait = Number(response.headers.get("Retry-After")) || 2;
  throw problem;
}

function gone() {
  return new Problem("the server does not answer; is it still running?", "gone", 0);
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
  });
}
