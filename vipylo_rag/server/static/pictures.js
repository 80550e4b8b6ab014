// The pictures of a query: chosen, dropped or pasted, shown with a way to remove each. Used for searching and asking.
// The server reads the first page of a PDF, and DICOM files, which browsers often give no type and cannot show.

import { byId, fill, h, icon, toast } from "./dom.js";
import { bytes, onLanguage, t } from "./i18n.js";
import { info } from "./session.js";

const isImage = (file) => file.type.startsWith("image/");
const isPdf = (file) => file.type === "application/pdf" || /\.pdf$/i.test(file.name);
const UNTOLD = ["", "application/octet-stream", "application/dicom"];
const maybePicture = (file) => isImage(file) || isPdf(file) || UNTOLD.includes(file.type) || /\.dcm$/i.test(file.name);

/** A row of pictures below `place`; `changed` is called after each change by the reader. */
export class Pictures {
  constructor({ place, button, zone, changed }) {
    this.files = [];
    this.place = place;
    this.changed = changed;
    this.input = h("input", { type: "file", accept: "image/*,.pdf,.dcm,.dicom", multiple: true, hidden: true });
    place.after(this.input);
    button.addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    onLanguage(() => this.show());
    onDrop(zone, () => t("image.drop"), (transfer) => this.add([...transfer.files]));
    addEventListener("paste", (event) => {
      if (zone.hidden || document.querySelector("dialog[open]")) return;
      const files = [...(event.clipboardData?.files ?? [])].filter(maybePicture);
      if (!files.length) return;
      event.preventDefault();
      this.add(files);
    });
  }

  /** Take files that are pictures of a size that the server takes; of the rest, say why not. */
  add(files) {
    const limits = info()?.limits;
    const taken = [...this.files];
    for (const file of files) {
      if (!maybePicture(file)) toast(t("image.other", { name: file.name }));
      else if (limits && file.size > limits.image_bytes) {
        toast(t("image.large", { name: file.name, size: bytes(limits.image_bytes) }));
      } else if (limits && taken.length >= limits.images) {
        toast(t("image.many", { n: limits.images }));
        break;
      } else taken.push(file);
    }
    if (taken.length === this.files.length) return;
    this.set(taken);
    this.changed();
  }

  set(files) {
    this.files = files;
    this.show();
  }

  show() {
    for (const image of this.place.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.place.hidden = !this.files.length;
    fill(
      this.place,
      this.files.map((file, at) =>
        h(
          "div",
          { class: "picture" },
          isImage(file) ? preview(file) : fileIcon(file),
          h(
            "button",
            {
              type: "button",
              class: "plain",
              "aria-label": t("image.remove", { name: file.name }),
              title: t("image.remove", { name: file.name }),
              on: {
                click: () => {
                  this.set(this.files.filter((_, other) => other !== at));
                  this.changed();
                },
              },
            },
            icon("close"),
          ),
        ),
      ),
    );
  }
}

function preview(file) {
  const alt = t("image.query", { name: file.name });
  const image = h("img", { src: URL.createObjectURL(file), alt });
  image.addEventListener("error", () => {
    URL.revokeObjectURL(image.src);
    image.replaceWith(fileIcon(file));
  });
  return image;
}

/** What stands for a file that the browser cannot show. */
function fileIcon(file) {
  const label = t(isPdf(file) ? "image.query.first" : "image.query", { name: file.name });
  const props = { class: "file-icon", role: "img", "aria-label": label, title: label };
  return h("div", props, icon("page"), h("span", {}, file.name));
}

/** Take files dropped anywhere while `zone` is shown; a cover says what dropping does. */
export function onDrop(zone, words, dropped) {
  const cover = byId("drop-cover");
  let depth = 0;
  const files = (event) =>
    !zone.hidden && event.dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]");
  const uncover = () => {
    depth = 0;
    cover.hidden = true;
  };
  addEventListener("dragenter", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    depth += 1;
    cover.firstElementChild.textContent = words();
    cover.hidden = false;
  });
  addEventListener("dragover", (event) => {
    if (files(event)) event.preventDefault();
  });
  addEventListener("dragleave", (event) => {
    if (!files(event)) return;
    depth -= 1;
    if (depth <= 0) uncover();
  });
  addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    uncover();
    dropped(event.dataTransfer);
  });
}
