// Pictures from drops, folders, the clipboard and file dialogs; and the names of their results.

const PICTURE = /\.(png|jpe?g|webp|tiff?|avif|heic|heif|bmp|gif)$/i;
const ROUNDING = 0.02; // of a scale: sides are rounded to pixels

/** Files of a drop, {file, path}; folders are searched whole, where only what looks like a picture is taken. */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, path: entry.name });
    else if (entry) await walk(entry, "", found, true);
  }
  return found;
}

/** Files of a dialog, {file, path}. */
export function chosen(input) {
  const found = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return found.filter(({ path }) => !path.includes("/") || isPicture(path));
}

/** Pictures on the clipboard, {file, path}. */
export function pasted(transfer) {
  return [...transfer.files].filter((file) => file.type.startsWith("image/")).map((file) => ({ file, path: file.name || "pasted.png" }));
}

/** The name of a result, with its folder: photo.jpg gives photo_x4.jpg, as the command names it. */
export function resultPath(path, plan, width, suffix) {
  const folder = path.includes("/") ? path.slice(0, path.lastIndexOf("/") + 1) : "";
  const stem = path.slice(folder.length).replace(/\.[^.]*$/, "") || "picture";
  const scale = plan.result_width / plan.width;
  const whole = Math.abs(scale - Math.round(scale)) < ROUNDING;
  const tag = width || !whole ? `w${plan.result_width}` : `x${Math.round(scale)}`;
  return `${folder}${stem}_${tag}${suffix}`;
}

/** A path that is not in `taken`, which it joins: a (2).png where a.png is. */
export function unused(path, taken) {
  const dot = path.lastIndexOf(".");
  let free = path;
  for (let count = 2; taken.has(free); count += 1) free = `${path.slice(0, dot)} (${count})${path.slice(dot)}`;
  taken.add(free);
  return free;
}

/** Have the browser save a blob. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function walk(entry, folder, found, named) {
  if (entry.isFile) {
    if (named || isPicture(entry.name)) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      found.push({ file, path: folder + entry.name });
    }
    return;
  }
  if (entry.name.startsWith(".") || entry.name === "__MACOSX") return;
  const reader = entry.createReader();
  for (;;) { // a call gives a hundred entries at most
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return;
    for (const inner of entries.sort((a, b) => a.name.localeCompare(b.name))) await walk(inner, `${folder}${entry.name}/`, found, false);
  }
}

function isPicture(path) {
  return PICTURE.test(path) && !path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");
}
