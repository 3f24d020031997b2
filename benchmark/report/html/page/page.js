"use strict";
/* What the page does when the reader chooses something. Names of models, classes and files reach the page as text only. */
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read("data"), charts = read("charts");
  const byId = (id) => document.getElementById(id);
  const state = { a: 0, b: 0, whose: "a", place: 0, open: "cell:only_a_right" };
  const views = {};
  const nameOf = (model) => data.models[model].name;
  const number = (value) => value.toLocaleString("en-US");
  const percent = (share, places = 1) => `${(100 * share).toFixed(places)} %`;
  const digits = (value) => Number(value.toPrecision(3)).toString();

  function signed(share) {
    const text = (100 * share).toFixed(2);
    if (Number(text) === 0) return "0.00";
    return share > 0 ? `+${text}` : text;
  }

  function element(tag, options = {}, ...children) {
    const { data: values = {}, ...properties } = options;
    const made = Object.assign(document.createElement(tag), properties);
    Object.assign(made.dataset, values);
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  const named = (text) => element("bdi", { textContent: text });
  const role = (model) => (model === state.a ? "A" : model === state.b ? "B" : "other");
  const roleOf = (name) => role(data.models.findIndex((model) => model.name === name));

  /* Charts ---------------------------------------------------------------------------------------------------------- */

  async function draw(id, rows, alternative, more = {}) {
    const place = byId(id);
    if (!place || !rows.length) return;
    const sets = { rows, ...more }, chart = charts[id];
    const names = new Set(rows.map((row) => row.class ?? row.model)).size;
    const height = chart.usermeta ? chart.usermeta.row_height * Math.max(names, 1) : chart.height;
    if (views[id]) {
      const { view } = await views[id];
      for (const [name, values] of Object.entries(sets)) view.data(name, values);
      await view.height(height).runAsync();
    } else {
      const filled = { ...chart, height, datasets: { ...chart.datasets, ...sets } };
      views[id] = vegaEmbed(place, filled, { renderer: "svg", actions: false, ast: true, mode: "vega-lite" });
      await views[id];
    }
    const svg = place.querySelector("svg");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", alternative);
  }

  function interval(low, high, unit) {
    return `${low} to ${high} ${unit}`;
  }

  /* Places the names of points above, else below, else further off, so that they do not overlap. */
  function placeNames(rows, width, height) {
    const [most_ms, most, least] = [Math.max(...rows.map((row) => row.p50_high_ms)), Math.max(...rows.map((row) => row.accuracy)), Math.min(...rows.map((row) => row.accuracy))];
    const taken = [];
    for (const row of rows) {
      const wide = Math.min(width < 550 ? 120 : 210, 7 * row.model.length), x = (width * row.p50_ms) / most_ms, left = row.at_right ? x - wide : x;
      const y = (height * (most - row.accuracy)) / Math.max(most - least, 1e-9);
      const free = (dy) => taken.every((other) => left > other.right || left + wide < other.left || Math.abs(y + dy - other.y) > 15);
      row.dy = [-11, 17, -27, 33, -43, 49].find(free) ?? -11;
      taken.push({ left, right: left + wide, y: y + row.dy });
    }
  }

  function drawFront() {
    const place = data.places[state.place];
    const limit = place.limits.length ? place.limits[Number(byId("limit").value)] : Infinity;
    const largest = Math.max(...place.points.map((point) => point.p50_high_ms));
    const rows = place.points.map((point) => ({
      model: point.model, role: roleOf(point.model), p50_ms: point.p50_ms, p50_low_ms: point.p50_low_ms,
      p50_high_ms: point.p50_high_ms, accuracy: 100 * point.accuracy, accuracy_low: 100 * point.accuracy_low,
      accuracy_high: 100 * point.accuracy_high, within: point.p50_ms <= limit, at_right: point.p50_ms > largest / 2,
      kind: data.models.find((model) => model.name === point.model).kind,
      told: `${percent(point.accuracy, 2)} (${interval((100 * point.accuracy_low).toFixed(2), (100 * point.accuracy_high).toFixed(2), "%")})`,
      timed: `${digits(point.p50_ms)} ms (${interval(digits(point.p50_low_ms), digits(point.p50_high_ms), "ms")})`,
      size: point.size_mb === null ? "" : `${point.size_mb.toFixed(1)} MB`,
    }));
    placeNames(rows, byId("front").clientWidth - 50, 260);
    const shown = Number.isFinite(limit) && limit <= largest * 1.3 ? [{ limit_ms: limit }] : [];
    const words = place.points.map((point) => `${point.model}: ${percent(point.accuracy, 2)}, ${digits(point.p50_ms)} ms`);
    return draw("front", rows, `Accuracy against latency on ${place.label}. ${words.join("; ")}`, { limit: shown });
  }

  function drawLatency() {
    const place = data.places[state.place];
    byId("processes-where").textContent = place.label;
    byId("batches-where").textContent = place.provider;
    const processes = place.processes.map((row) => ({ ...row, role: roleOf(row.model) }));
    const batches = data.places
      .filter((other) => other.provider === place.provider && other.run === place.run)
      .flatMap((other) => other.points.map((point) => ({
        model: point.model, role: roleOf(point.model), batch_size: other.batch_size,
        per_image_ms: point.p50_ms / other.batch_size, low_ms: point.p50_low_ms / other.batch_size,
        high_ms: point.p50_high_ms / other.batch_size, timed: `${digits(point.p50_ms)} ms`,
      })));
    draw("processes", processes, `p50 of each process on ${place.label}; the table Latency has the medians.`);
    draw("batches", batches, `p50 per image over batch sizes on ${place.provider}; the table Latency has the figures.`);
  }

  function showLimit() {
    const place = data.places[state.place];
    const index = Number(byId("limit").value);
    byId("limit-label").hidden = !place.limits.length;
    byId("limit-answer").hidden = !place.limits.length;
    if (place.limits.length) {
      const words = `${place.limits[index]} ms`;
      byId("limit-shown").textContent = words;
      byId("limit").setAttribute("aria-valuetext", `at most ${words}`);
      byId("limit-answer").textContent = `At most ${words}: ${place.answers[index]}`;
    }
    drawFront();
  }

  function showPlace() {
    const place = data.places[state.place];
    byId("limit").max = String(Math.max(place.limits.length - 1, 0));
    byId("limit").value = byId("limit").max;
    byId("device").textContent = place.device;
    showLimit();
    drawLatency();
  }

  /* A pair of models ------------------------------------------------------------------------------------------------ */

  const TURNED = { better: "worse", worse: "better", only_a_right: "only_b_right", only_b_right: "only_a_right" };
  const turned = (word) => TURNED[word] || word;

  function pairOf(a, b) {
    const straight = data.pairs.find((pair) => pair.a === a && pair.b === b);
    if (straight) return straight;
    const other = data.pairs.find((pair) => pair.a === b && pair.b === a);
    if (!other) return null;
    const cells = Object.fromEntries(Object.entries(other.cells).map(([name, cell]) => [turned(name), cell]));
    const recalls = other.recalls.map((row) => ({ ...row, a: row.b, b: row.a, low: -row.high, high: -row.low })).reverse();
    return { ...other, a, b, difference: -other.difference, low: -other.high, high: -other.low, verdict: turned(other.verdict), cells, recalls };
  }

  const CELLS = {
    only_a_right: ["A right, B wrong", "By how much more probability A gives to the true class, the most first."],
    only_b_right: ["B right, A wrong", "By how much more probability B gives to the true class, the most first."],
    both_wrong: ["Both wrong", "The surest first."],
    both_right: ["Both right", "The least sure first."],
  };

  function showPair() {
    const pair = pairOf(state.a, state.b);
    const verdict = byId("pair-verdict");
    if (!pair) {
      verdict.textContent = "There is only one model: nothing to compare.";
    } else {
      const sure = pair.verdict === "better" || pair.verdict === "worse";
      const words = sure ? ["is ", element("b", { textContent: `${pair.verdict} than` }), " "] : ["against "];
      verdict.replaceChildren(
        named(nameOf(state.a)), " ", ...words, named(nameOf(state.b)), `: ${sure ? "" : `${pair.verdict}, `}${signed(pair.difference)} points `,
        `(95 %: ${signed(pair.low)} to ${signed(pair.high)}), ${pair.p}${pair.family ? `, corrected within “${pair.family}”` : ""}`);
    }
    for (const button of document.querySelectorAll("#mcnemar [data-cell]")) {
      const total = pair ? pair.cells[button.dataset.cell].total : 0;
      button.textContent = number(total);
      button.disabled = !pair;
      button.setAttribute("aria-label", `${CELLS[button.dataset.cell][0]}: ${number(total)} images`);
    }
    showRecalls(pair);
  }

  function showRecalls(pair) {
    const recalls = pair ? pair.recalls : [];
    const real = recalls.filter((row) => row.real);
    const rows = recalls.map((row) => ({
      class: data.classes[row.class], difference: 100 * (row.a - row.b), low: 100 * row.low, high: 100 * row.high,
      verdict: row.real ? (row.a > row.b ? "A better" : "B better") : "no credible difference", images: row.images, p: row.p,
      told: `${signed(row.a - row.b)} (${signed(row.low)} to ${signed(row.high)})`, recalls: `${percent(row.a)}, ${percent(row.b)}`,
    }));
    const fewer = rows.length < data.classes.length ? `Of ${data.classes.length} classes the ${rows.length} with the smallest p are shown. ` : "";
    const classes = real.map((row) => `${data.classes[row.class]} (${signed(row.a - row.b)})`).join(", ");
    const told = real.length ? `Credible differences of A minus B, in points: ${classes}.` : "No class shows a credible difference.";
    byId("recall-about").textContent = fewer + told;
    draw("recall", rows, `Difference of recall of each class, A minus B. ${told}`);
  }

  /* Images ---------------------------------------------------------------------------------------------------------- */

  function card(image) {
    const picture = image.picture
      ? element("img", { src: `data:image/webp;base64,${image.picture}`, alt: `${image.name}, true class ${data.classes[image.label]}` })
      : null;
    if (picture) picture.addEventListener("load", () => picture.classList.toggle("smooth", picture.naturalWidth > 64));
    const order = data.models.map((_, model) => model).sort((one, other) => "ABo".indexOf(role(one)[0]) - "ABo".indexOf(role(other)[0]));
    const said = (model) => {
      const right = image.said[model] === image.label;
      return element("li", {},
        element("span", { className: "who" }, role(model) === "other" ? named(nameOf(model)) : role(model), ": "),
        element("span", { className: right ? "said-right" : "said-wrong" },
          right ? "✓ " : "✗ ", named(data.classes[image.said[model]]), ` ${percent(image.sure[model])}`));
    };
    const others = order.filter((model) => role(model) === "other");
    const more = others.length
      ? element("details", {}, element("summary", { textContent: `${others.length} other${others.length > 1 ? "s" : ""}` }), element("ul", {}, ...others.map(said))) : null;
    return element("li", {}, picture, element("span", { className: "name" }, named(image.name)),
      element("strong", {}, named(data.classes[image.label])),
      element("ul", {}, ...order.filter((model) => role(model) !== "other").map(said)), more);
  }

  function showImages(title, about, total, images) {
    byId("gallery-title").textContent = `${title} (${number(total)})`;
    byId("gallery-about").textContent = total > images.length ? `${about} ${images.length} of ${number(total)} are shown.` : about;
    byId("gallery-images").replaceChildren(...images.map((position) => card(data.images[position])));
  }

  /* The confusion of classes i and j: images of the pool that A, B, or only one of them takes for j. */
  function confused(i, j) {
    const says = (model) => (image) => image.label === i && image.said[model] === j;
    const ofA = says(state.a), ofB = says(state.b);
    const chosen = { a: ofA, b: ofB, difference: (image) => ofA(image) !== ofB(image) }[state.whose];
    const judge = state.whose === "b" ? state.b : state.a;
    const images = data.images.map((_, position) => position).filter((position) => chosen(data.images[position]));
    images.sort((one, other) => data.images[other].sure[judge] - data.images[one].sure[judge]);
    const counts = countsOf(state.whose);
    const row = data.confusion.classes.indexOf(i), column = data.confusion.classes.indexOf(j);
    const who = { a: "A", b: "B", difference: "only one of A and B" }[state.whose];
    const title = `${data.classes[i]} that ${who} takes for ${data.classes[j]}`;
    const about = state.whose === "difference"
      ? `A does so ${number(countsOf("a")[row][column])} times, B ${number(countsOf("b")[row][column])} times.` : "The surest first.";
    const total = state.whose === "difference" ? images.length : counts[row][column];
    showImages(title, about, total, images.slice(0, data.most_of_gallery));
  }

  function open(what, focus) {
    state.open = what;
    const [kind, ...rest] = what.split(":");
    if (kind === "cell") {
      const pair = pairOf(state.a, state.b);
      const cell = pair ? pair.cells[rest[0]] : { total: 0, images: [] };
      showImages(...CELLS[rest[0]], cell.total, cell.images);
    } else if (kind === "gallery") {
      const gallery = data.galleries[Number(rest[0])];
      showImages(gallery.title, gallery.about, gallery.total, gallery.images);
    } else {
      confused(Number(rest[0]), Number(rest[1]));
    }
    const choice = byId("gallery");
    choice.value = kind === "confusion" ? "" : what;
    for (const button of document.querySelectorAll("#mcnemar button, #confusion button")) button.classList.toggle("on", button.dataset.open === what);
    remember();
    if (focus) byId("gallery-title").focus();
  }

  /* Confusion tables ------------------------------------------------------------------------------------------------ */

  function countsOf(whose) {
    const { counts } = data.confusion;
    if (whose !== "difference") return counts[state[whose]];
    return counts[state.a].map((row, i) => row.map((count, j) => count - counts[state.b][i][j]));
  }

  function showConfusion() {
    const { classes } = data.confusion;
    const counts = countsOf(state.whose), difference = state.whose === "difference";
    const most = Math.max(1, ...counts.flatMap((row, i) => row.filter((_, j) => i !== j).map(Math.abs)));
    const who = { a: "A", b: "B", difference: "A minus B" }[state.whose];
    const some = classes.length < data.classes.length ? `; the ${classes.length} of ${data.classes.length} classes that are mixed up most` : "";
    byId("confusion-caption").textContent = `Images of ${who}: true class to the left, predicted above${some}. A number opens its images.`;
    byId("confusion").tHead.replaceChildren(element("tr", {}, element("td"),
      ...classes.map((index) => element("th", { scope: "col", title: data.classes[index] }, named(data.classes[index])))));
    byId("confusion").tBodies[0].replaceChildren(...classes.map((i, row) => element("tr", {},
      element("th", { scope: "row", title: data.classes[i] }, named(data.classes[i])),
      ...classes.map((j, column) => {
        const count = counts[row][column];
        const button = element("button", {
          type: "button", tabIndex: row + column ? -1 : 0, className: i === j ? "diagonal" : "",
          textContent: difference && count > 0 ? `+${count}` : count === 0 && i !== j ? "·" : String(count).replace("-", "−"), data: { open: `confusion:${i}:${j}` },
        });
        button.setAttribute("aria-label", `true ${data.classes[i]}, predicted ${data.classes[j]}: ${count} images`);
        button.style.setProperty("--share", String(Math.min(1, Math.abs(count) / most)));
        button.style.setProperty("--tint", `var(--${state.whose === "b" || count < 0 ? "b" : "a"})`);
        return element("td", {}, button);
      }))));
  }

  /* The table is one stop for the tab key; arrows go from cell to cell. */
  function walk(event) {
    const steps = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const cell = event.target.closest("td");
    if (!steps[event.key] || !cell) return;
    const [down, right] = steps[event.key];
    const next = cell.parentElement.parentElement.rows[cell.parentElement.sectionRowIndex + down]?.cells[cell.cellIndex + right]?.querySelector("button");
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  /* Confidence ------------------------------------------------------------------------------------------------------ */

  function showConfidence() {
    for (const side of ["a", "b"]) {
      const model = data.models[state[side]];
      byId(`reliability-${side}-title`).replaceChildren(`${side.toUpperCase()}: `, named(model.name));
      const rows = model.reliability.map((bin) => ({
        confidence: 100 * bin.confidence, right: 100 * bin.right, low: 100 * bin.low, high: 100 * bin.high, images: bin.images, state: bin.state,
        told: `${percent(bin.right)} (${percent(bin.low)} to ${percent(bin.high)})`, said: percent(bin.confidence),
      }));
      const words = model.reliability.filter((bin) => bin.state === "as it is").map((bin) => `${percent(bin.confidence, 0)}: ${percent(bin.right, 0)}`);
      draw(`reliability-${side}`, rows, `Reliability of ${model.name}, mean probability and share right: ${words.join("; ")}`);
    }
    const rows = data.models.flatMap((model, position) => model.selective.coverage.map((coverage, index) => ({
      model: model.name, role: role(position), coverage: 100 * coverage, error: 100 * model.selective.error[index] })));
    const told = [...new Set([state.a, state.b])].map((position) => {
      const { name, selective } = data.models[position];
      return `${name} answers ${percent(selective.coverage_at_1pct_error)} of the images at ≤ 1 % error (AURC ${digits(selective.aurc)}, AUGRC ${digits(selective.augrc)})`;
    }).join("; ");
    byId("selective-about").textContent = `${told}.`;
    draw("selective", rows.sort((one, other) => one.coverage - other.coverage), `Wrong answers against share answered. ${told}.`);
  }

  /* Tables ---------------------------------------------------------------------------------------------------------- */

  function sort(header) {
    const table = header.closest("table"), column = header.cellIndex;
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[column];
      return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
    };
    const before = (one, other) => (typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other)));
    const [full, empty] = [[], []];
    for (const row of table.tBodies[0].rows) (key(row) === "" ? empty : full).push(row);
    full.sort((one, other) => (ascending ? 1 : -1) * before(key(one), key(other)));
    table.tBodies[0].append(...full, ...empty);
  }

  /* The address names what is chosen, so that it can be sent to somebody. ---------------------------------------------- */

  function remember() {
    const chosen = new URLSearchParams({ a: nameOf(state.a), b: nameOf(state.b), open: state.open });
    history.replaceState(null, "", `#${chosen}`);
  }

  function recall() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const first = data.pairs[0] || { a: 0, b: 0 };
    for (const side of ["a", "b"]) {
      const found = data.models.findIndex((model) => model.name === asked.get(side));
      state[side] = found >= 0 ? found : first[side];
    }
    const [kind, ...rest] = (asked.get("open") || "").split(":");
    const known = { cell: rest[0] in CELLS, gallery: rest[0] in data.galleries, confusion: rest.every((index) => data.confusion.classes.includes(Number(index))) && rest.length === 2 };
    if (known[kind]) state.open = asked.get("open");
  }

  function showModels() {
    byId("a").value = String(state.a);
    byId("b").value = String(state.b);
    showPair();
    showConfusion();
    showConfidence();
    if (data.places.length) { drawFront(); drawLatency(); }
    open(state.open, false);
  }

  /* If a model is chosen that the other side shows, the two sides swap models. */
  function choose(side, model) {
    const other = side === "a" ? "b" : "a";
    if (state[other] === model) state[other] = state[side];
    state[side] = model;
    showModels();
  }

  function start() {
    recall();
    for (const side of ["a", "b"]) {
      byId(side).replaceChildren(...data.models.map((model, index) => element("option", { value: String(index), textContent: model.name })));
      byId(side).addEventListener("change", (event) => choose(side, Number(event.target.value)));
    }
    byId("swap").addEventListener("click", () => { [state.a, state.b] = [state.b, state.a]; showModels(); });
    byId("gallery").replaceChildren(element("option", { value: "", textContent: "a confusion of two classes", disabled: true }),
      ...Object.entries(CELLS).map(([name, [title]]) => element("option", { value: `cell:${name}`, textContent: title })),
      ...data.galleries.map((gallery, index) => element("option", { value: `gallery:${index}`, textContent: `${gallery.title} (${number(gallery.total)})` })));
    byId("gallery").addEventListener("change", (event) => open(event.target.value, false));
    for (const button of document.querySelectorAll("#mcnemar [data-cell]")) button.dataset.open = `cell:${button.dataset.cell}`;
    for (const table of [byId("mcnemar"), byId("confusion")]) {
      table.addEventListener("click", (event) => { const what = event.target.dataset.open; if (what) open(what, true); });
    }
    byId("confusion").addEventListener("keydown", walk);
    for (const button of document.querySelectorAll("[data-whose]")) {
      button.addEventListener("click", () => {
        state.whose = button.dataset.whose;
        for (const other of document.querySelectorAll("[data-whose]")) other.setAttribute("aria-pressed", String(other === button));
        showConfusion();
        open(state.open, false);
      });
    }
    document.addEventListener("click", (event) => { const header = event.target.closest(".sortable th"); if (header) sort(header); });
    window.addEventListener("hashchange", () => { recall(); showModels(); });
    if (data.places.length) {
      byId("place").addEventListener("change", (event) => { state.place = Number(event.target.value); showPlace(); });
      byId("limit").addEventListener("input", showLimit);
      showPlace();
    }
    showModels();
  }

  start();
})();
