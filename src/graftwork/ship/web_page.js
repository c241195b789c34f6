"use strict";
// The page's side: what is dropped goes to the worker that classifies it, one image after the other.
(() => {
  const { $, start } = graft;
  const model = JSON.parse($("model").textContent);
  const tell = (id, text, kind = "") => {
    $(id).hidden = !text;
    $(id).className = `callout ${kind}`;
    $(id).textContent = text;
  };

  const waiting = new Map();
  let number = 0;
  let broken = "";
  const fail = (text) => {
    broken = text;
    tell("status", text, "error");
    for (const { reject } of waiting.values()) reject(new Error(text));
    waiting.clear();
  };
  const hear = ({ data }) => {
    if (data.failed) return fail(data.failed);
    if (data.loaded !== undefined) {
      const done = Math.floor((100 * data.loaded) / model.bytes);
      return tell("status", done < 100 ? `Loading the model, ${model.size}: ${done} %` : "Starting the model …");
    }
    if (data.ready) return tell("status", "");
    const { resolve, reject } = waiting.get(data.id);
    waiting.delete(data.id);
    return data.error ? reject(new Error(data.error)) : resolve(data.row);
  };
  let worker = null;
  if (location.protocol === "file:") {
    fail("This page must come from a web server, since browsers load no model from a file; run "
      + "`python -m http.server` in its folder and open http://localhost:8000");
  } else {
    worker = new Worker(model.worker, { type: "module" });
    worker.onmessage = hear;
    worker.onerror = (event) => fail(`The model must start, but: ${event.message ?? "its script does not load"}`);
    worker.postMessage({ files: model.files });
  }

  const probabilities = (file) => new Promise((resolve, reject) => {
    if (broken) return reject(new Error(broken));
    waiting.set(number, { resolve, reject });
    worker.postMessage({ id: number, file, intensity: model.intensity });
    number += 1;
  });
  const classify = async (file) => {
    try {
      const row = await probabilities(file);
      const top = model.classes.map((label, k) => ({ label, probability: row[k] }));
      top.sort((one, other) => other.probability - one.probability);
      return { ...top[0], top: top.slice(0, 5), more: [] };
    } catch (error) {
      return { error: error.message };
    }
  };
  start({ classify, atOnce: 1 });

  const fetched = async (name) => {
    const answer = await fetch(`${model.samples}/${name}`, { cache: "no-cache" });
    if (!answer.ok) throw new Error(`${name} must be in ${model.samples}, but the server answers ${answer.status}`);
    return answer;
  };
  // JPEG leaves decoders some room: there only the class counts, and only where the model is clear.
  const compare = async () => {
    const largest = { exact: 0, lossy: 0 };
    let other = 0;
    for (const [name, { probabilities: expected }] of Object.entries(await (await fetched("expected.json")).json())) {
      const row = await probabilities(new File([await (await fetched(name)).blob()], name));
      const kind = name.endsWith(".jpg") ? "lossy" : "exact";
      const gap = Math.max(...expected.map((value, k) => Math.abs(value - row[k])));
      largest[kind] = Math.max(largest[kind], gap);
      const [first, second] = expected.toSorted((a, b) => b - a);
      const clear = first - (second ?? 0) > (kind === "lossy" ? model.lossyMargin : model.margin);
      if (clear && row.indexOf(Math.max(...row)) !== expected.indexOf(first)) other += 1;
    }
    const said = `Largest difference of a probability: ${largest.exact.toPrecision(1)} of PNG (at most ${model.largest} `
      + `may be), ${largest.lossy.toPrecision(1)} of JPEG; another class for ${other}.`;
    return largest.exact <= model.largest && !other
      ? tell("compared", `This browser computes what the model must give. ${said}`, "good")
      : tell("compared", `This browser misreads images or the model: do not rely on its answers. ${said}`, "error");
  };
  $("compare").onclick = async () => {
    tell("compared", "Comparing …");
    try {
      await compare();
    } catch (error) {
      tell("compared", `The samples cannot be compared: ${error.message}`, "error");
    }
  };
})();
