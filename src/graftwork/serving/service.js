"use strict";
// The service's side: images are sent to it, a few at a time.
(() => {
  const AT_ONCE = 4;
  const MOST_TRIES = 20;
  const { $, element, start } = graft;
  let about = null;
  let token = sessionStorage.getItem("token") ?? "";

  const ask = (address, options = {}) =>
    fetch(address, { ...options, headers: { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) } });

  // The model, as /model tells of it; where a token is needed, it is asked for.
  const introduce = async () => {
    const answer = await ask("model");
    $("token-form").hidden = answer.status !== 401;
    if (!answer.ok) return;
    about = await answer.json();
    document.title = `${about.name}: classify images`;
    $("name").replaceChildren(about.name, " ", element("span", { textContent: about.created.slice(0, 10) }));
    const test = about.test;
    const score = (value) => (test.metric === "log-loss" ? value.toFixed(3) : (100 * value).toFixed(1));
    const unit = test?.metric === "log-loss" ? "nats" : "%";
    const between = test && (test.low === null ? "no interval" : `95 % interval ${score(test.low)} to ${score(test.high)}`);
    const facts = {
      Classes: about.classes.join(", "),
      Tested: test ? `${test.metric} ${score(test.value)} ${unit} (${between}) on ${test.images} images` : "no",
      Network: `${about.network}, licence ${about.licence}; data: ${about.data_terms}`,
      "Taken here": `${about.formats}; at most ${about.max_upload_mb} MB and ${about.max_megapixels} megapixels`,
      Versions: `trained with graftwork ${about.trained_with}, served by ${about.version} on ${about.engine}`,
    };
    $("about").querySelector("dl").replaceChildren(...Object.entries(facts).map(([name, text]) =>
      element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: text }))));
    $("about").hidden = false;
  };

  let introduced = introduce();

  const novelty = (answer) => {
    if (answer.novel === null)
      return element("p", { className: "aside", textContent:
        "Whether this image is like the training images cannot be said: the model has too few of them to compare with." });
    const far = answer.p_value < 0.001 ? "fewer than 0.1" : (100 * answer.p_value).toFixed(1);
    return answer.novel
      ? element("p", { className: "callout warning" }, element("b", { textContent: "Unlike the training images." }),
        ` Only ${far} % of these are as far from the others, so the classes may not fit at all.`)
      : element("p", { className: "aside", textContent:
        `Like the training images: ${far} % of these are at least as far from the others.` });
  };
  const neighbours = (nearest) => element("div", { className: "nearest" },
    element("h3", { textContent: "The nearest training images" }),
    element("ul", { className: "gallery small" }, ...nearest.map(({ label, similarity, thumbnail }) =>
      element("li", {}, element("figure", {}, thumbnail
        ? element("img", { src: thumbnail, alt: "", width: 96, height: 96 })
        : element("span", { className: "blank", textContent: "no thumbnail" }),
        element("figcaption", { textContent: `${label}, similarity ${similarity.toFixed(2)}` }))))));
  const evidence = (picture, label) => element("figure", {}, element("img", { src: picture, alt: "" }),
    element("figcaption", { textContent: `Where the evidence for ${label} is: the brighter, the more; the model does not see what is striped` }));
  const pause = (seconds) => new Promise((go) => setTimeout(go, 1000 * seconds));
  const answered = async (file) => {
    await introduced;
    if (about && file.size > 1e6 * about.max_upload_mb)
      return { error: `${file.name} must have at most ${about.max_upload_mb} MB; send it smaller` };
    const nearest = about?.shows_training_images ? 6 : 0;
    const body = new FormData();
    body.append("file", file);
    for (let tries = 0; ; tries += 1) {
      const wishes = `top=5&nearest=${nearest}&explain=${about?.explains ?? false}`;
      const answer = await ask(`predict?${wishes}`, { method: "POST", body });
      if (answer.status === 503 && tries < MOST_TRIES) {
        await pause(Number(answer.headers.get("Retry-After") ?? 1));
        continue;
      }
      if (answer.status === 401) $("token-form").hidden = false;
      const reply = await answer.json();
      return reply.images ? reply.images[0] : reply;
    }
  };
  const classify = async (file) => {
    try {
      const answer = await answered(file);
      if (answer.error) return answer;
      const more = [novelty(answer), ...(answer.nearest.length ? [neighbours(answer.nearest)] : [])];
      return { ...answer, more, pictures: answer.evidence ? [evidence(answer.evidence, answer.label)] : [] };
    } catch (error) {
      return { error: `The service did not answer: ${error.message}` };
    }
  };
  start({ classify, atOnce: AT_ONCE });

  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    token = $("token").value;
    sessionStorage.setItem("token", token);
    introduced = introduce();
  });
})();
