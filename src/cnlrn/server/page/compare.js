// Before and after, one over the other: a line that uncovers, with one zoom and one place for both.

const LARGEST = 40; // screen pixels for a pixel of the result
const STEP = 1.25;
const PAN = 60; // screen pixels that an arrow key moves

export class Compare {
  constructor(dialog) {
    this.dialog = dialog;
    this.view = dialog.querySelector(".view");
    this.before = dialog.querySelector(".before");
    this.after = dialog.querySelector(".after");
    this.range = dialog.querySelector(".split input");
    this.wait = dialog.querySelector(".wait");
    this.pointers = new Map();
    this.range.addEventListener("input", () => this.#split(Number(this.range.value)));
    dialog.querySelector("#compare-close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => this.#forget());
    dialog.addEventListener("keydown", (event) => this.#key(event));
    for (const button of dialog.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => this.zoom(button.dataset.zoom));
    this.view.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.view.addEventListener("pointerdown", (event) => this.#down(event));
    this.view.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) this.view.addEventListener(kind, (event) => this.#up(event));
    new ResizeObserver(() => { if (this.width && this.fits) this.zoom("fit"); }).observe(this.view);
  }

  /** Show two pictures, given by functions that make their blobs, of which the second has so many pixels. */
  async open(title, width, height, makeBefore, makeAfter) {
    this.dialog.querySelector("#compare-title").textContent = title;
    this.width = width;
    this.height = height;
    this.urls = [];
    this.dialog.showModal();
    this.#split(50);
    this.zoom("fit");
    this.wait.textContent = "Loading the pictures…";
    try {
      const blobs = await Promise.all([makeBefore(), makeAfter()]);
      if (!this.dialog.open) return;
      this.urls = blobs.map((blob) => URL.createObjectURL(blob));
      [this.before.src, this.after.src] = this.urls;
      await Promise.all([this.before.decode(), this.after.decode()]);
      this.#place();
      this.wait.textContent = "";
    } catch (error) {
      if (this.dialog.open) this.wait.textContent = `These pictures cannot be shown here (${error.message}); the download has them.`;
    }
    this.range.focus({ focusVisible: false });
  }

  zoom(how) {
    const { clientWidth, clientHeight } = this.view;
    if (how === "fit") {
      this.scale = this.#fitting();
      this.x = (clientWidth - this.width * this.scale) / 2;
      this.y = (clientHeight - this.height * this.scale) / 2;
      this.#place();
    } else {
      const wanted = { pixels: 1 / devicePixelRatio, in: this.scale * STEP, out: this.scale / STEP }[how];
      this.#zoomAt(clientWidth / 2, clientHeight / 2, wanted);
    }
  }

  get fits() {
    return this.scale <= this.#fitting() * 1.001;
  }

  #fitting() {
    const { clientWidth, clientHeight } = this.view;
    return Math.min(clientWidth / this.width, clientHeight / this.height, 8);
  }

  /** Zoom so that what lies under (x, y) of the view stays there. */
  #zoomAt(x, y, wanted) {
    const scale = Math.min(LARGEST, Math.max(this.#fitting() / 4, wanted));
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    this.#place();
  }

  #place() {
    const { clientWidth, clientHeight } = this.view;
    const [wide, high] = [this.width * this.scale, this.height * this.scale];
    this.x = within(this.x, wide, clientWidth);
    this.y = within(this.y, high, clientHeight);
    for (const image of [this.before, this.after]) {
      image.style.width = `${this.width}px`;
      image.style.height = `${this.height}px`;
      image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    }
    this.view.classList.toggle("pixels", this.scale * devicePixelRatio >= 3);
    this.dialog.querySelector("#zoom-shown").textContent = `${Math.round(this.scale * devicePixelRatio * 100)} %`;
  }

  #split(percent) {
    const value = Math.min(100, Math.max(0, percent));
    this.range.value = value;
    this.view.style.setProperty("--split", `${value}%`);
  }

  #splitAt(event) {
    const box = this.view.getBoundingClientRect();
    this.#split((event.clientX - box.left) / box.width * 100);
  }

  #down(event) {
    this.view.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.splits = this.pointers.size === 1 && (Boolean(event.target.closest(".split")) || this.fits);
    if (this.splits) this.#splitAt(event);
    else this.view.classList.add("moving");
    this.range.focus({ focusVisible: false });
    event.preventDefault();
  }

  #move(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    if (this.pointers.size === 2) {
      const other = [...this.pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
      const box = this.view.getBoundingClientRect();
      const [x, y] = [(event.clientX + other.clientX) / 2 - box.left, (event.clientY + other.clientY) / 2 - box.top];
      this.x += (event.clientX - last.clientX) / 2;
      this.y += (event.clientY - last.clientY) / 2;
      this.#zoomAt(x, y, this.scale * distance(event, other) / Math.max(1, distance(last, other)));
    } else if (this.splits) {
      this.#splitAt(event);
    } else {
      this.#pan(event.clientX - last.clientX, event.clientY - last.clientY);
    }
    this.pointers.set(event.pointerId, event);
  }

  #up(event) {
    this.pointers.delete(event.pointerId);
    this.view.classList.remove("moving");
  }

  #pan(across, down) {
    this.x += across;
    this.y += down;
    this.#place();
  }

  #wheel(event) {
    event.preventDefault();
    const box = this.view.getBoundingClientRect();
    this.#zoomAt(event.clientX - box.left, event.clientY - box.top, this.scale * STEP ** (-Math.sign(event.deltaY)));
  }

  #key(event) {
    const zoom = { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "pixels" }[event.key];
    const pan = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (zoom) this.zoom(zoom);
    else if (pan && !this.fits && !event.shiftKey) this.#pan(...pan); // with Shift, or where all is seen, the line moves
    else if (pan && event.shiftKey && pan[0]) this.#split(Number(this.range.value) - Math.sign(pan[0]));
    else return;
    event.preventDefault();
  }

  #forget() {
    for (const image of [this.before, this.after]) image.removeAttribute("src");
    for (const url of this.urls ?? []) URL.revokeObjectURL(url);
    this.pointers.clear();
    this.wait.textContent = "";
  }
}

/** Where a length begins in a view, so that it is centred if it is short and leaves no gap if it is long. */
function within(start, length, view) {
  if (length <= view) return (view - length) / 2;
  return Math.min(0, Math.max(view - length, start));
}

function distance(a, b) {
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}
