// One picture of the list: what is known of it, what is done with it, and its row.

import * as engine from "./server.js";
import { resultPath } from "./files.js";

const THUMB = 192;
const LARGEST_SHOWN = 8192; // pixels a side from which browsers show pictures badly

export class Picture {
  /** `changed()` is called when the list should look at it again. */
  constructor(file, path, changed) {
    this.file = file;
    this.path = path;
    this.changed = changed;
    this.state = "new"; // new, waiting, running, done, failed
    this.row = document.querySelector("#row").content.firstElementChild.cloneNode(true);
    this.row.querySelector("h3").textContent = path;
    for (const button of this.row.querySelectorAll("button")) button.setAttribute("aria-label", `${button.textContent} ${path}`);
    this.#showThumb();
    this.#say("Looking at it…");
  }

  on(kind, act) {
    this.row.querySelector(`.${kind}`).addEventListener("click", () => act(this));
  }

  /** Find out what it is and what would be done. */
  async inspect(options) {
    this.inspecting?.abort();
    this.inspecting = new AbortController();
    const { signal } = this.inspecting;
    try {
      this.plan = await engine.inspect(this.file, options, signal);
      this.row.querySelector(".plan").textContent = words(this.plan);
      if (this.state === "failed" && this.unreadable) this.#turn("new");
      if (this.state === "new") this.#say("");
      this.unreadable = false;
    } catch (error) {
      if (signal.aborted) return;
      this.unreadable = true;
      this.#fail(error);
    }
  }

  /** Its turn is awaited. */
  queue(options) {
    this.options = options;
    this.controller = new AbortController();
    this.#turn("waiting", "Waiting for its turn…");
  }

  async restore() {
    const { signal } = this.controller;
    this.#turn("running", "Sending…");
    const bar = this.row.querySelector("progress");
    try {
      this.result = await engine.restore(this.file, this.options, (view) => {
        bar.value = view.progress;
        this.#say(view.state === "queued" ? "Waiting for the server…" : `Computing, ${Math.round(view.progress * 100)} %`);
      }, signal);
      this.plan = this.result.plan;
      this.row.querySelector(".plan").textContent = words(this.plan, true);
      this.name = resultPath(this.path, this.plan, this.options.width, this.result.suffix);
      this.#turn("done", `Done: ${size(this.result.blob.size)}`, "good");
      this.#showNotes(this.result.notes);
    } catch (error) {
      if (signal.aborted) this.#turn("new", "Cancelled.");
      else this.#fail(error);
    }
  }

  cancel() {
    this.controller?.abort();
    if (this.state === "waiting") this.#turn("new", "Cancelled.");
  }

  remove() {
    this.cancel();
    this.inspecting?.abort();
    this.row.remove();
  }

  get isActive() {
    return this.state === "waiting" || this.state === "running";
  }

  compare(view) {
    const { result_width: width, result_height: height } = this.plan;
    const { blob } = this.result;
    view.open(this.path, width, height, () => shown(this.file), () => shown(blob, width, height));
  }

  async #showThumb() {
    const image = this.row.querySelector(".thumb");
    try {
      const bitmap = await createImageBitmap(this.file);
      const canvas = new OffscreenCanvas(THUMB, THUMB * 3 / 4);
      const scale = Math.max(canvas.width / bitmap.width, canvas.height / bitmap.height);
      const [wide, high] = [bitmap.width * scale, bitmap.height * scale];
      canvas.getContext("2d").drawImage(bitmap, (canvas.width - wide) / 2, (canvas.height - high) / 2, wide, high);
      bitmap.close();
      image.src = URL.createObjectURL(await canvas.convertToBlob());
    } catch { // a format that the browser cannot show, or no picture at all
      const blob = await engine.preview(this.file, THUMB).catch(() => null);
      if (blob) image.src = URL.createObjectURL(blob);
    }
    image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
  }

  #fail(error) {
    this.#turn("failed", error.message, "bad");
  }

  #showNotes(notes) {
    const list = this.row.querySelector(".notes");
    list.replaceChildren(...notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
    list.hidden = notes.length === 0;
  }

  #turn(state, text = "", look = "") {
    this.state = state;
    const show = (name, shows) => { this.row.querySelector(`.${name}`).hidden = !shows; };
    show("restore", !this.isActive);
    show("cancel", this.isActive);
    show("compare", state === "done");
    show("download", state === "done");
    this.row.querySelector(".restore").textContent = state === "done" ? "Again" : "Restore";
    this.row.querySelector(".restore").classList.toggle("primary", state !== "done");
    const bar = this.row.querySelector("progress");
    bar.hidden = state !== "running";
    bar.value = 0;
    bar.setAttribute("aria-label", `Progress of ${this.path}`);
    if (state !== "done") this.#showNotes([]);
    this.#say(text, look);
    this.changed();
  }

  #say(text, look = "") {
    const line = this.row.querySelector(".state");
    line.textContent = text;
    line.className = `state ${look}`;
  }
}

/** A picture that the browser can show: itself, or what the server makes of it. */
async function shown(blob, width = 0, height = 0) {
  try {
    if (Math.max(width, height) > LARGEST_SHOWN) throw new RangeError();
    (await createImageBitmap(blob)).close();
    return blob;
  } catch {
    return engine.preview(blob, LARGEST_SHOWN);
  }
}

/** What is known and what is done, for a person. */
function words(plan, isDone = false) {
  const blur = {
    sharp: "sharp",
    shake: `shaken by about ${Math.round(plan.extent)} pixels`,
    defocus: `out of focus by about ${Math.round(plan.extent)} pixels`,
  }[plan.kind];
  const seen = [`${plan.width} × ${plan.height}`, blur].filter(Boolean).join(", ");
  const does = {
    leave: isDone ? "was left as it is, for it is sharp" : "will be left as it is, for it is sharp already",
    deblur: isDone ? "made sharper at its size" : "will be made sharper at its size",
    enlarge: `${isDone ? "enlarged" : "will be enlarged"} to ${plan.result_width} × ${plan.result_height}`,
  }[plan.action];
  const seconds = plan.seconds && !isDone ? `, in about ${duration(plan.seconds)}` : "";
  return `${seen}; ${does}${seconds}`;
}

function duration(seconds) {
  if (seconds < 1) return "a second";
  return seconds < 90 ? `${Math.ceil(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
