"use strict";
// The page where one drops images. What classifies them, a service or this browser, is a script of its own.
const graft = (() => {
  const $ = (id) => document.getElementById(id);
  const element = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const percent = (share) => (share < 0.001 ? "<0.1 %" : share > 0.999 ? ">99.9 %" : `${(100 * share).toFixed(1)} %`);
  const bar = ({ label, probability }) => {
    const filled = element("i");
    filled.style.width = `${100 * probability}%`;
    return element("li", {}, element("span", { className: "label", textContent: label }),
      element("span", { className: "bar", ariaHidden: "true" }, filled),
      element("span", { className: "number", textContent: percent(probability) }));
  };

  // `classify` promises for a file: either `error`, a line, or `label`, `probability`, `top` (the first classes, each
  // with its label and probability), `more`, elements to show below these, and perhaps `pictures`, to show beside them.
  const start = ({ classify, atOnce }) => {
    const waiting = [];
    let running = 0;
    const show = (said, answer) => {
      const title = said.querySelector("h2");
      if (answer.error) {
        title.textContent = "Not classified";
        said.append(element("p", { className: "callout error", textContent: answer.error }));
        return;
      }
      title.replaceChildren(answer.label, " ", element("span", { textContent: percent(answer.probability) }));
      said.append(element("ol", { className: "bars" }, ...answer.top.map(bar)), ...answer.more);
      said.previousElementSibling.append(...(answer.pictures ?? []));
    };
    const work = async () => {
      if (running >= atOnce || !waiting.length) return;
      running += 1;
      const { file, said } = waiting.shift();
      show(said, await classify(file));
      said.parentElement.ariaBusy = "false";
      running -= 1;
      work();
    };
    const take = (files) => {
      const cards = [...files].map((file) => {
        const picture = element("img", { src: URL.createObjectURL(file), alt: "" });
        const preview = element("figure", {}, picture);
        picture.onload = () => URL.revokeObjectURL(picture.src);
        picture.onerror = () =>
          preview.replaceChildren(element("span", { className: "blank", textContent: "no preview" }));
        const said = element("div", {}, element("h2", { textContent: "…" }),
          element("p", { className: "name", textContent: file.name }));
        waiting.push({ file, said });
        return element("section", { className: "answer", ariaBusy: "true" },
          element("div", { className: "pictures" }, preview), said);
      });
      $("answers").prepend(...cards);
      for (const _ of cards) work();
    };

    const drop = $("drop");
    for (const kind of ["dragover", "dragleave", "drop"]) {
      addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragover");
        if (kind === "drop") take(event.dataTransfer.files);
      });
    }
    addEventListener("paste", (event) => take(event.clipboardData.files));
    $("files").addEventListener("change", (event) => {
      take(event.target.files);
      event.target.value = "";
    });
  };
  return { $, element, start };
})();
