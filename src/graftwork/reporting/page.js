"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const dark = read("dark");
  const light = Object.fromEntries(Object.entries(dark).map(([day, night]) => [night, day]));
  const night = matchMedia("(prefers-color-scheme: dark)");
  const drawn = [];

  // Charts arrive in the page's light colours; every property or column that holds one of them is exchanged.
  const exchanged = (value, colours) => {
    if (typeof value === "string") return colours[value];
    if (value && typeof value === "object" && typeof value.value === "string" && colours[value.value])
      return { ...value, value: colours[value.value] };
    return undefined;
  };
  const repaint = (chart, colours) => {
    for (const model of chart._all_models.values()) {
      for (const property of model) {
        if (!property.attr.endsWith("color")) continue;
        const other = exchanged(property.get_value(), colours);
        if (other !== undefined) model.setv({ [property.attr]: other });
      }
      for (const name of ["colour", "text_colour"]) {
        const column = model.data?.[name];
        if (column) model.data = { ...model.data, [name]: Array.from(column, (colour) => colours[colour] ?? colour) };
      }
    }
  };
  // Paper is light and has its own width, and live charts change too late for either: print shows a still.
  const takeStills = () => drawn.forEach((chart) => {
    if (!chart.isDark) chart.still.src = chart.view.export("auto").canvas.toDataURL();
  });
  const paintAll = (toDark) => drawn.forEach((chart) => {
    if (chart.isDark !== toDark) repaint(chart.document, toDark ? dark : light);
    chart.isDark = toDark;
  });

  // A class that is muted in the projection fades, and so do its rings.
  const muteClasses = (chart) => {
    const source = chart.get_model_by_name("projection");
    const legend = document.getElementById("projection-legend");
    const buttons = [...legend.querySelectorAll("[data-class]")];
    const ring = Array.from(source.get_column("ring"));
    const classes = Array.from(source.get_column("class"));
    const update = () => {
      const shown = new Set(buttons.filter((b) => b.ariaPressed === "true").map((b) => Number(b.dataset.class)));
      source.data = {
        ...source.data,
        alpha: classes.map((c) => (shown.has(c) ? 0.85 : 0.06)),
        ring: ring.map((alpha, i) => (shown.has(classes[i]) ? alpha : 0)),
      };
    };
    legend.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      if (button.dataset.class) button.ariaPressed = String(button.ariaPressed !== "true");
      else buttons.forEach((b) => { b.ariaPressed = String(button.classList.contains("all")); });
      update();
    });
  };

  const draw = async ([name, item]) => {
    const place = document.getElementById(`chart-${name}`);
    try {
      const [view] = [...await Bokeh.embed.embed_item(item, place.id)];
      const still = Object.assign(document.createElement("img"), { className: "still", alt: "" });
      place.after(still);
      drawn.push({ document: view.model.document, isDark: false, view, still });
      if (name === "projection") muteClasses(view.model.document);
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error}`;
      place.classList.add("failed");
      throw error;
    }
  };

  const sortBy = (button) => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const at = head.cellIndex;
    const key = (row) => row.cells[at].dataset.value ?? row.cells[at].textContent;
    const falling = head.ariaSort !== "descending";
    const order = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      const rising = isNaN(x) || isNaN(y) ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
      return falling ? -rising : rising;
    });
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.ariaSort = falling ? "descending" : "ascending";
    body.append(...order);
  };
  for (const button of document.querySelectorAll(".sort")) button.addEventListener("click", () => sortBy(button));

  Bokeh.set_log_level("warn");
  Promise.all(Object.entries(read("charts")).map(draw)).then(() => {
    takeStills();
    addEventListener("beforeprint", takeStills);
    paintAll(night.matches);
    night.addEventListener("change", () => paintAll(night.matches));
    document.documentElement.dataset.charts = String(drawn.length);
  });
})();
