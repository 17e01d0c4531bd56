// Memory over the step: the bytes alive at every step, forward and then backward, and of what.
//
//     alive(k) = leaves + sum of bytes of the arrays with from <= k <= to
//
// The curve is summed once from where arrays begin and end; a click looks up what is alive there.

const { el, svgEl, nodes, data, state, format } = app;
const memory = data.memory;
const HEIGHT = 132;
const EDGES = { left: 58, right: 10, top: 16, bottom: 20 };
const MOST_ROWS = 40; // made at once: the list follows the hand along the curve
const forwardSteps = (data.forward ?? []).length;

const leaves = nodes.filter((node) => !node.inputs?.length).length;
const parts = {};
let chosen = null; // the step whose arrays are listed

// ---------------------------------------------------------------------------- the sums

/** For every step the bytes of values and of gradients alive then. */
function curves({ steps, arrays }) {
  const made = { value: new Float64Array(steps + 1), gradient: new Float64Array(steps + 1) };
  for (const array of arrays) {
    made[array.what][array.from] += array.bytes;
    made[array.what][array.to + 1] -= array.bytes;
  }
  for (const curve of Object.values(made)) {
    for (let k = 1; k <= steps; k += 1) curve[k] += curve[k - 1];
  }
  return made;
}

const curve = memory ? curves(memory) : null;
const fixed = memory?.fixed ?? 0;
const total = (k) => fixed + curve.value[k] + curve.gradient[k];

function peakOf() {
  let best = 0;
  for (let k = 1; k < memory.steps; k += 1) if (total(k) > total(best)) best = k;
  return { step: best, bytes: total(best) };
}

/** What is alive at a step: {step, bytes, fixed, entries}, the largest entries first. */
function at(k) {
  const entries = memory.arrays.filter((array) => array.from <= k && k <= array.to)
    .sort((a, b) => b.bytes - a.bytes || a.node - b.node);
  return { step: k, bytes: total(k), fixed, entries };
}

if (memory?.steps) {
  app.memory = { at, total, peak: peakOf(), steps: memory.steps, choose, toggle };
}

// ---------------------------------------------------------------------------- the chart

/** Where things are: a column of the chart is a step, or several where pixels are fewer. */
function frameOf(width) {
  const inner = Math.max(60, width - EDGES.left - EDGES.right);
  const most = 1.08 * Math.max(app.memory.peak.bytes, 1);
  const low = HEIGHT - EDGES.bottom;
  return {
    width, inner,
    x: (k) => EDGES.left + (inner * k) / memory.steps,
    y: (bytes) => low - ((low - EDGES.top) * bytes) / most,
    step: (x) => Math.max(0, Math.min(memory.steps - 1,
      Math.floor(((x - EDGES.left) / inner) * memory.steps))),
  };
}

/** One step for each column: the one with the most bytes, so that no peak is lost. */
function columns(frame) {
  const count = Math.min(memory.steps, Math.ceil(frame.inner));
  return Array.from({ length: count }, (_, c) => {
    const [from, to] = [c, c + 1].map((i) => Math.floor((i * memory.steps) / count));
    let best = from;
    for (let k = from + 1; k < to; k += 1) if (total(k) > total(best)) best = k;
    return { from, to, k: best };
  });
}

/** The area between two heights, level during each step. */
function area(frame, steps, low, high) {
  const line = (list, height, end) => list.map((c) => {
    const y = frame.y(height(c.k)).toFixed(1);
    const [a, b] = end ? [c.to, c.from] : [c.from, c.to];
    return `${frame.x(a).toFixed(1)} ${y}L${frame.x(b).toFixed(1)} ${y}`;
  }).join("L");
  return `M${line(steps, high, false)}L${line([...steps].reverse(), low, true)}z`;
}

function ticks(most) {
  const unit = 10 ** Math.floor(Math.log10(most / 2));
  const step = [1, 2, 5, 10].map((m) => m * unit).filter((s) => most / s <= 4)[0];
  const found = [];
  for (let v = 0; v <= most; v += step) found.push(v);
  return found;
}

function drawChart() {
  const width = parts.chart.clientWidth;
  if (!width) return;
  const frame = frameOf(width);
  parts.frame = frame;
  const steps = columns(frame);
  const low = HEIGHT - EDGES.bottom;
  const border = frame.x(forwardSteps);
  const values = (k) => fixed + curve.value[k];
  const grid = ticks(Math.max(app.memory.peak.bytes, 1)).flatMap((v) => [
    svgEl("line", { x1: EDGES.left, x2: frame.width - EDGES.right, y1: frame.y(v), y2: frame.y(v),
      class: "grid" }),
    svgEl("text", { x: EDGES.left - 6, y: frame.y(v) + 3.5, class: "tick end" }, format.bytes(v)),
  ]);
  const { peak } = app.memory;
  const peakX = (frame.x(peak.step) + frame.x(peak.step + 1)) / 2;
  const side = peakX > frame.width * 0.8 ? "end" : peakX < frame.width * 0.2 ? "" : "middle";
  parts.hover = svgEl("line", { y1: EDGES.top, y2: low, class: "hover", visibility: "hidden" });
  parts.cursor = svgEl("rect", { y: EDGES.top - 4, height: low - EDGES.top + 4, class: "cursor" });
  parts.lives = svgEl("g", {});
  parts.chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  parts.chart.replaceChildren(
    ...grid,
    svgEl("path", { d: area(frame, steps, () => 0, () => fixed), class: "area fixed" }),
    svgEl("path", { d: area(frame, steps, () => fixed, values), class: "area of-values" }),
    svgEl("path", { d: area(frame, steps, values, total), class: "area of-gradients" }),
    svgEl("line", { x1: border, x2: border, y1: EDGES.top - 8, y2: HEIGHT - 4, class: "border" }),
    svgEl("text", { x: border - 6, y: HEIGHT - 6, class: "tick end" }, "forward"),
    svgEl("text", { x: border + 6, y: HEIGHT - 6, class: "tick" }, "backward"),
    svgEl("circle", { cx: peakX, cy: frame.y(peak.bytes), r: 3, class: "peak" }),
    svgEl("text", { x: peakX, y: frame.y(peak.bytes) - 7, class: `tick peak-text ${side}` },
      `peak ${format.bytes(peak.bytes)}`),
    parts.lives, parts.cursor, parts.hover,
  );
  showCursor();
  showLives();
}

function showCursor() {
  if (!parts.frame || chosen === null) return;
  const [from, to] = [parts.frame.x(chosen), parts.frame.x(chosen + 1)];
  const width = Math.max(to - from, 2);
  parts.cursor.setAttribute("x", (from + to - width) / 2);
  parts.cursor.setAttribute("width", width);
}

/** How long the value and the gradient of the selected node live. */
function showLives() {
  if (!parts.frame) return;
  const lives = state.selected === null ? []
    : memory.arrays.filter((array) => array.node === state.selected);
  const low = HEIGHT - EDGES.bottom;
  parts.lives.replaceChildren(...lives.map((array) => svgEl("rect", {
    x: parts.frame.x(array.from), y: low + (array.what === "value" ? 1.5 : 4.5), height: 3, rx: 1.5,
    width: Math.max(2, parts.frame.x(array.to + 1) - parts.frame.x(array.from)),
    class: `life of-${array.what}s`,
  }, svgEl("title", {}, `the ${array.what} of ${app.nameOf(array.node)} is alive`))));
}

// ---------------------------------------------------------------------------- one step

/** `backward 3 of 12, tanh #7` */
function stepName(k) {
  const op = app.frameOp(k);
  if (!op) return `step ${k + 1}`;
  const [n, all] = op.part === "forward" ? [k, forwardSteps]
    : [k - forwardSteps, memory.steps - forwardSteps];
  return `${op.part} ${n + 1} of ${all}, ${app.nameOf(op.id)}`;
}

/** List what is alive at step k. */
function choose(k) {
  chosen = Math.max(0, Math.min(memory.steps - 1, k));
  const alive = at(chosen);
  const text = `${format.bytes(alive.bytes)} at ${stepName(chosen)}`;
  parts.chart.setAttribute("aria-valuenow", chosen);
  parts.chart.setAttribute("aria-valuetext", text);
  parts.reading.textContent = text;
  showCursor();
  parts.list.replaceChildren(...rows(alive.entries, MOST_ROWS),
    ...(fixed ? [summary(`parameters and data, always there (${leaves})`, fixed)] : []));
  parts.list.scrollTop = 0;
}

/** The first rows, and one that stands for all others until it is pressed. */
function rows(entries, most) {
  const made = entries.slice(0, most).map(row);
  const rest = entries.slice(most);
  if (!rest.length) return made;
  const bytes = rest.reduce((sum, array) => sum + array.bytes, 0);
  const more = el("button", { type: "button", class: "link",
    onclick: () => others.replaceWith(...rows(rest, 10 * MOST_ROWS)) },
  `and ${rest.length} smaller arrays`);
  const others = summary(more, bytes);
  return [...made, others];
}

function row(array) {
  const node = nodes[array.node];
  const place = node.file ? `${node.file.split("/").at(-1)}:${node.line}` : "";
  return el("li", { class: `of-${array.what}s`, "data-bytes": array.bytes },
    el("span", { class: "what" }, app.nodeLink(array.node), " ",
      el("span", { class: "faint" }, array.what)),
    el("span", { class: "bytes" }, format.bytes(array.bytes)),
    el("span", { class: "line faint", title: node.source }, place, " ",
      el("code", {}, node.source ?? "")),
    el("span", { class: "faint shape" }, format.shape(node.shape)));
}

const summary = (text, bytes) => el("li", { class: "summary", "data-bytes": bytes },
  el("span", { class: "what faint" }, text), el("span", { class: "bytes" }, format.bytes(bytes)));

// ---------------------------------------------------------------------------- hands and keys

function point(event) {
  const box = parts.chart.getBoundingClientRect();
  return parts.frame.step(event.clientX - box.left);
}

function listen(chart) {
  let pressed = false;
  chart.addEventListener("pointerdown", (event) => {
    pressed = true;
    chart.setPointerCapture(event.pointerId);
    choose(point(event));
  });
  chart.addEventListener("pointermove", (event) => {
    const k = point(event);
    if (pressed && k !== chosen) choose(k);
    const x = (parts.frame.x(k) + parts.frame.x(k + 1)) / 2;
    for (const end of ["x1", "x2"]) parts.hover.setAttribute(end, x);
    parts.hover.setAttribute("visibility", "visible");
    parts.reading.textContent = `${format.bytes(total(k))} at ${stepName(k)}`;
  });
  chart.addEventListener("pointerup", () => { pressed = false; });
  chart.addEventListener("pointerleave", () => {
    parts.hover.setAttribute("visibility", "hidden");
    parts.reading.textContent = `${format.bytes(total(chosen))} at ${stepName(chosen)}`;
  });
  chart.addEventListener("keydown", (event) => {
    const page = Math.max(2, Math.round(memory.steps / 20));
    const target = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, ArrowUp: chosen + 1,
      ArrowDown: chosen - 1, PageUp: chosen + page, PageDown: chosen - page, Home: 0,
      End: memory.steps - 1 }[event.key];
    if (event.key === "Enter") app.setFrame(chosen);
    else if (target === undefined) return;
    else choose(target);
    // These keys move the chart's cursor, not the drawing.
    event.preventDefault();
    event.stopPropagation();
  });
}

// ---------------------------------------------------------------------------- the section

function toggle(shown = parts.root.hidden) {
  parts.root.hidden = !shown;
  parts.button?.setAttribute("aria-pressed", String(shown));
  if (shown) {
    drawChart();
    if (chosen === null) choose(state.frame ?? app.memory.peak.step);
  }
  app.emit("resize");
}

function build(root) {
  parts.root = root;
  parts.chart = svgEl("svg", { class: "memory-chart", tabindex: 0, role: "slider",
    "aria-label": "bytes alive at each step", "aria-valuemin": 0,
    "aria-valuemax": memory.steps - 1, height: HEIGHT });
  parts.reading = el("span", { class: "reading" });
  parts.list = el("ul", { class: "alive", tabindex: "0",
    "aria-label": "arrays alive at this step" });
  const key = (kind, text) => el("span", { class: `key ${kind}` }, text);
  root.append(
    el("div", { class: "memory-head" }, el("h2", {}, "Memory"), parts.reading,
      el("span", { class: "space" }), key("of-values", "values"), key("of-gradients", "gradients"),
      fixed ? key("fixed", "parameters, data") : null,
      el("button", { type: "button", title: "show the graph as it is at this step",
        onclick: () => app.setFrame(chosen) }, "Step here"),
      app.button("Peak", "go to the peak", () => choose(app.memory.peak.step)),
      app.button("×", "close the memory timeline (m)", () => toggle(false))),
    el("div", { class: "memory-body" }, el("div", { class: "memory-plot" }, parts.chart),
      parts.list));
  listen(parts.chart);
  new ResizeObserver(() => { if (!root.hidden) drawChart(); }).observe(parts.chart);
}

app.start.memory = () => {
  if (!app.memory) return;
  build(document.getElementById("memory"));
  // The button stands with the stepper's: both are about the order in which things happen.
  parts.button = app.button("Memory", "bytes alive at each step (m)", () => toggle(),
    { "aria-pressed": "false" });
  document.querySelector("#stepper .controls")?.append(parts.button);
  app.key("m", "memory: show or hide the bytes alive at each step", () => toggle());
  app.on("frame", (k) => { if (k !== null && !parts.root.hidden) choose(k); });
  app.on("select", showLives);
};
