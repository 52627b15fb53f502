// The page: what is added becomes a list, which is worked off two at a time.

import { Compare } from "./compare.js";
import * as files from "./files.js";
import { Picture } from "./picture.js";
import * as engine from "./server.js";
import { downloadZip } from "./vendor/client-zip-2.5.1.js";

const AT_ONCE = 2;
const PAUSE = 300; // milliseconds without a change of the options after which all is inspected again

const find = (selector) => document.querySelector(selector);
const form = find("#options");
const compare = new Compare(find("#compare"));
let pictures = [];
let running = 0;
let looking = 0;
let unseen = [];

function options() {
  const { size, width, model, format, strength, force, strip } = form.elements;
  return {
    scale: size.value === "width" ? "" : size.value,
    width: size.value === "width" ? width.value : "",
    model: model.value,
    format: format.value,
    strength: strength.value / 100,
    force: force.checked || "",
    strip: strip.checked || "",
  };
}

function add(found) {
  if (!found.length) return say("There are no pictures in this.");
  for (const { file, path } of found) {
    const picture = new Picture(file, path, show);
    picture.on("restore", start);
    picture.on("cancel", (one) => { one.cancel(); say(`${one.path}: cancelled`); });
    picture.on("compare", (one) => one.compare(compare));
    picture.on("download", (one) => files.save(one.result.blob, one.name.split("/").pop()));
    picture.on("remove", remove);
    pictures.push(picture);
    find("#pictures").append(picture.row);
    unseen.push(picture);
  }
  say(found.length === 1 ? `${found[0].path} added` : `${found.length} pictures added`);
  show();
  inspectNext();
}

async function inspectNext() {
  while (looking < AT_ONCE && unseen.length) {
    looking += 1;
    const picture = unseen.shift();
    picture.inspect(options()).finally(() => { looking -= 1; inspectNext(); });
  }
}

function start(picture) {
  if (!form.reportValidity()) return;
  picture.queue(options());
  work();
}

async function work() {
  while (running < AT_ONCE) {
    const next = pictures.find((picture) => picture.state === "waiting");
    if (!next) return;
    running += 1;
    next.restore().finally(() => {
      running -= 1;
      if (next.state !== "new") say(`${next.path}: ${next.row.querySelector(".state").textContent}`);
      work();
    });
  }
}

function remove(picture) {
  const place = pictures.indexOf(picture);
  picture.remove();
  pictures = pictures.filter((one) => one !== picture);
  unseen = unseen.filter((one) => one !== picture);
  const next = pictures[Math.min(place, pictures.length - 1)];
  (next ? next.row.querySelector(".remove") : find("#choose")).focus();
  show();
}

async function downloadAll() {
  const taken = new Set();
  const done = pictures.filter((picture) => picture.state === "done");
  const entries = done.map((picture) => ({ name: files.unused(picture.name, taken), input: picture.result.blob, lastModified: new Date() }));
  const button = find("#download-all");
  button.disabled = true;
  try {
    files.save(await downloadZip(entries).blob(), "restored.zip");
  } finally {
    button.disabled = false;
  }
}

/** What the whole list says. */
function show() {
  const count = (...states) => pictures.filter((picture) => states.includes(picture.state)).length;
  find("#none").hidden = pictures.length > 0;
  find("#all").hidden = pictures.length === 0;
  find("#restore-all").disabled = count("new") === 0;
  find("#cancel-all").disabled = count("waiting", "running") === 0;
  find("#download-all").disabled = count("done") === 0;
  const parts = [[count("done"), "restored"], [count("running"), "computed now"], [count("waiting"), "waiting"], [count("failed"), "failed"]];
  find("#summary").textContent = parts.filter(([number]) => number).map(([number, what]) => `${number} ${what}`).join(", ");
}

function say(text) {
  find("#said").textContent = text;
}

function askForToken() {
  const dialog = find("#sign-in");
  const entered = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  if (!dialog.open) dialog.showModal();
  return entered;
}

async function signIn(event) {
  event.preventDefault();
  const { token } = event.target.elements;
  try {
    await engine.signIn(token.value);
    token.value = "";
    find("#sign-in").close();
  } catch (error) {
    event.target.querySelector(".state").textContent = error.message;
  }
}

async function begin() {
  engine.onTokenWanted(askForToken);
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState(null, "", location.pathname);
    await engine.signIn(token).catch(() => {});
  }
  const about = await engine.about();
  find("#version").textContent = about.version;
  for (const model of about.models) {
    form.elements.model.append(new Option(model.name, model.name));
    for (const limit of model.limits) find("#limits ul").append(Object.assign(document.createElement("li"), { textContent: `${model.name}: ${limit}` }));
  }
  if (about.follows_tabs) new EventSource("v1/tab");
}

function listen() {
  const drop = find("#drop");
  for (const kind of ["dragover", "drop"]) addEventListener(kind, (event) => event.preventDefault());
  addEventListener("dragover", () => drop.classList.add("over"));
  for (const kind of ["dragleave", "drop"]) addEventListener(kind, () => drop.classList.remove("over"));
  addEventListener("drop", async (event) => add(await files.dropped(event.dataTransfer)));
  addEventListener("paste", (event) => {
    const found = files.pasted(event.clipboardData);
    if (found.length) add(found);
  });
  for (const [button, input] of [["#choose", "#files"], ["#choose-folder", "#folder"], ["#photograph", "#camera"]]) {
    find(button).addEventListener("click", () => find(input).click());
    find(input).addEventListener("change", (event) => { add(files.chosen(event.target)); event.target.value = ""; });
  }
  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const name = button.dataset.example;
      const blob = await (await fetch(`examples/${name}`)).blob();
      add([{ file: new File([blob], name, { type: blob.type }), path: name }]);
    });
  }
  find("#restore-all").addEventListener("click", () => pictures.filter(({ state }) => state === "new").forEach(start));
  find("#cancel-all").addEventListener("click", () => pictures.filter((one) => one.isActive).forEach((one) => one.cancel()));
  find("#download-all").addEventListener("click", downloadAll);
  find("#remove-all").addEventListener("click", () => pictures.forEach(remove));
  find("#sign-in form").addEventListener("submit", signIn);
  let timer;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    find("#strength-shown").textContent = `${form.elements.strength.value} %`;
    find("#width-field").hidden = form.elements.size.value !== "width";
    clearTimeout(timer);
    timer = setTimeout(() => { unseen = pictures.filter(({ state }) => state === "new" || state === "failed"); inspectNext(); }, PAUSE);
  });
  addEventListener("beforeunload", (event) => { if (pictures.some((one) => one.isActive)) event.preventDefault(); });
}

listen();
begin().catch((error) => { find("#summary").textContent = error.message; });
