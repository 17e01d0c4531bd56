// The machine's own grain: a box for every fused kernel, with what it computes and how fast.
//
// The same placing code draws it, on a canvas of its own.  A click on a kernel goes back to the
// graph, where the nodes that became it are pointed out.  What the forward pass keeps for the
// backward pass would cross the whole drawing: a link over many levels is named at both its ends
// instead of drawn.

const { data, nodes, state } = app;
const program = data.kernels;
const LINE = 14;
const MOST = 46; // characters on a line
const PADDING = 12;
const LONGEST = 5; // bends of a link that is still drawn

const byId = new Map((program?.list ?? []).map((kernel) => [kernel.id, kernel]));
const content = app.svgEl("g", { class: "content" });
let placed = null;

// ---------------------------------------------------------------------------- what is said

/** Words on lines of bounded length; at most three of them. */
function wrap(text) {
  const lines = [""];
  for (const word of (text ?? "").split(/\s+/)) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= MOST) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  const shown = lines.slice(0, 3).map((l) => (l.length > MOST ? `${l.slice(0, MOST)}…` : l));
  if (lines.length > 3) shown[2] += " …";
  return shown;
}

/** "from k3   to k57, k81": the links of a kernel that are not drawn. */
function far(id) {
  const names = (ids) => {
    const all = [...new Set(ids)].sort((a, b) => a - b).map((k) => `k${k}`);
    const more = all.length > 5 ? [`and ${all.length - 4} more`] : [];
    return [...(more.length ? all.slice(0, 4) : all), ...more].join(", ");
  };
  const from = names(left.far.filter(([, head]) => head === id).map(([tail]) => tail));
  const to = names(left.far.filter(([tail]) => tail === id).map(([, head]) => head));
  return [from && `from ${from}`, to && `to ${to}`].filter(Boolean).join("   ");
}

const three = (v) => String(Number(v.toPrecision(3)));

/** "5.2 µs   195 GFLOP/s   57 GB/s": what is known of a kernel's speed. */
function speed({ us, flops, read = 0, written = 0 }) {
  if (!us) return [app.format.bytes(read + written)];
  const parts = [app.format.us(us)];
  if (flops) parts.push(`${three(flops / us / 1000)} GFLOP/s`);
  if (read + written) parts.push(`${three((read + written) / us / 1000)} GB/s`);
  return parts;
}

function textsOf(kernel) {
  const share = program.us && kernel.us ? ` · ${app.format.percent(kernel.us / program.us)}` : "";
  return {
    title: `k${kernel.id}  ${kernel.kind ?? ""}${share}`,
    lines: wrap(kernel.what),
    far: far(kernel.id),
    where: (kernel.where ?? "").length > MOST + 6
      ? `…${kernel.where.slice(-MOST)}` : kernel.where ?? "",
    speed: speed(kernel),
  };
}

const say = (kernel) => [
  `kernel ${kernel.id}, ${kernel.kind ?? ""}: ${kernel.what ?? ""}`, speed(kernel).join(", "),
].join("; ");

function describe(kernel) {
  const moved = `reads ${app.format.bytes(kernel.read ?? 0)}, `
    + `writes ${app.format.bytes(kernel.written ?? 0)}`;
  return [say(kernel), kernel.where, moved, ...(kernel.reads ?? []).map((r) => `reads ${r}`),
    ...(kernel.writes ?? []).map((w) => `writes ${w}`)].filter(Boolean).join("\n");
}

// ---------------------------------------------------------------------------- boxes

function sizeOf(key) {
  const texts = textsOf(byId.get(number(key)));
  const wide = [
    app.textWidth(texts.title, 12, 600), ...texts.lines.map((l) => app.textWidth(l)),
    app.textWidth(texts.where, 10), app.textWidth(texts.far, 10),
    app.textWidth(texts.speed.join("   "), 11),
  ];
  const rows = 2 + texts.lines.length + (texts.where ? 1 : 0) + (texts.far ? 1 : 0);
  return {
    width: Math.max(90, ...wide) + 2 * PADDING, height: LINE * rows + 24, radius: 8, texts,
  };
}

function drawKernel(kernel, item) {
  const { width: w, height: h, texts } = item;
  const element = app.svgEl("g", {
    class: "kernel", "data-kernel": kernel.id, tabindex: -1, role: "button",
    "aria-label": say(kernel), transform: `translate(${item.x} ${item.y})`,
  });
  const slowest = Math.max(...program.list.map((k) => k.us ?? 0), 1e-9);
  const left = -w / 2 + PADDING;
  const bar = (width, kind) => app.svgEl("rect", {
    x: left, y: h / 2 - 8, width: Math.max(1, width), height: 3, rx: 1.5, class: kind,
  });
  let y = -h / 2 + 15;
  const line = (text, kind, size) => {
    element.append(app.text(left, y, text, kind, size));
    y += LINE;
  };
  element.append(
    app.svgEl("title", null, describe(kernel)),
    app.svgEl("rect", { x: -w / 2, y: -h / 2, width: w, height: h, rx: 8, class: "box" }),
    // How much of the whole time: a bar along the lower border.
    bar(w - 2 * PADDING, "track"), bar(((w - 2 * PADDING) * (kernel.us ?? 0)) / slowest, "heat"));
  line(texts.title, "name", 12);
  for (const text of texts.lines) line(text, "");
  if (texts.where) line(texts.where, "faint small", 10);
  line(texts.speed.join("   "), "value", 11);
  if (texts.far) line(texts.far, "faint small", 10);
  return element;
}

// ---------------------------------------------------------------------------- links

const number = (key) => Number(key.slice(1));

/** The layout without long links: {layout, far: [[tail, head] ...]}. */
function shortened(given) {
  // A program too large to be laid out in advance comes without a layout: one column a level.
  const layout = given ?? { columns: byLevel(), links: [] };
  const links = layout.links ?? [];
  const isFar = (link) => (link.bends?.length ?? 0) > LONGEST;
  const gone = new Set(links.filter(isFar).flatMap((link) => link.bends));
  return {
    layout: {
      columns: layout.columns.map((column) => column.filter((key) => !gone.has(key))),
      links: links.filter((link) => !isFar(link)),
    },
    far: given ? links.filter(isFar).map((link) => [number(link.tail), number(link.head)])
      : (program.edges ?? []).map((edge) => [edge.tail, edge.head]),
  };
}

function byLevel() {
  const columns = [];
  for (const { id, level = 0 } of program.list) (columns[2 * level] ??= []).push(`k${id}`);
  return Array.from(columns, (column) => column ?? []);
}

const left = program ? shortened(program.layout) : { far: [] };

/** The texts of a link: what is handed over from one kernel to the other, each named once. */
function labelsOf(links) {
  const found = new Map();
  for (const { tail, head, label } of program.edges ?? []) {
    const key = `k${tail} k${head}`;
    if (label) found.set(key, (found.get(key) ?? new Set()).add(label));
  }
  return links.map(({ tail, head }) => {
    const all = [...(found.get(`${tail} ${head}`) ?? [])];
    return all.length > 3 ? [...all.slice(0, 2), `and ${all.length - 2} more`] : all;
  });
}

function drawLink(link, texts) {
  const [x, y] = link.points.at(-1);
  const d = app.smooth([...link.points.slice(0, -1), [x - app.ARROW + 1, y]]);
  const element = app.svgEl("g", { class: "link" },
    app.svgEl("path", { class: "edge", d }), app.arrow(x, y));
  texts.forEach((text, i) => {
    if (!link.label) return;
    const at = link.label.y - 8 - 12 * (texts.length - 1 - i);
    element.append(app.text(link.label.x, at, text, "faint small middle", 10));
  });
  return element;
}

function draw() {
  const labels = labelsOf(left.layout.links);
  placed = app.place(left.layout, sizeOf, (i) => labels[i].length && {
    width: Math.max(...labels[i].map((text) => app.textWidth(text, 10))) + 6,
    height: 24 * labels[i].length + 4,
  });
  content.append(...placed.links.map((link, i) => drawLink(link, labels[i])));
  for (const [key, item] of Object.entries(placed.items)) {
    content.append(drawKernel(byId.get(number(key)), item));
  }
}

// ---------------------------------------------------------------------------- from kernel to graph

/** Point out in the graph what became a kernel. */
function pointOut(id) {
  const kernel = byId.get(id);
  app.selectKernel(id);
  const forward = (kernel.nodes ?? []).filter((n) => nodes[n]);
  const shown = forward.length ? forward : (kernel.backward ?? []).filter((n) => nodes[n]);
  app.setMode("graph");
  app.setHighlight(shown);
  const part = forward.length ? "computes" : "takes the way back of";
  note(`Kernel k${id} ${part} the ${shown.length} nodes pointed out; Esc clears.`);
  if (shown.length) app.show(shown[0]);
}

/** Arrow keys go to the nearest kernel in that direction. */
function step(dx, dy) {
  const focused = content.querySelector(":focus");
  const from = placed.items[`k${focused?.dataset.kernel ?? state.selectedKernel}`];
  const boxes = [...content.querySelectorAll(".kernel")];
  const scored = boxes.filter((b) => b !== focused).map((box) => {
    const to = placed.items[`k${box.dataset.kernel}`];
    if (!from) return [to.x + to.y, box];
    const [x, y] = [to.x - from.x, to.y - from.y];
    const ahead = x * dx + y * dy;
    return [ahead > 1 ? ahead + 3 * Math.abs(x * dy + y * dx) : Infinity, box];
  }).filter(([cost]) => Number.isFinite(cost)).sort((a, b) => a[0] - b[0]);
  const next = scored[0]?.[1];
  if (!next) return;
  next.focus({ preventScroll: true });
  app.cameras.kernels.show(placed.items[`k${next.dataset.kernel}`]);
}

/** One line above the drawing; none for an empty text. */
function note(text) {
  const place = document.getElementById("note");
  place.hidden = !text;
  place.textContent = text;
}

function listen(svg) {
  const target = (event) => event.target.closest(".kernel");
  svg.addEventListener("click", (event) => {
    if (target(event)) pointOut(Number(target(event).dataset.kernel));
  });
  const only = (run) => (event) => (state.mode === "kernels" ? run(event) : false);
  svg.addEventListener("keydown", only((event) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (move[event.key]) step(...move[event.key]);
    else if ((event.key === "Enter" || event.key === " ") && target(event)) {
      pointOut(Number(target(event).dataset.kernel));
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }));
}

app.start.kernels = () => {
  const stage = document.getElementById("stage");
  const usual = data.note ?? "";
  stage.append(app.el("p", { id: "note", hidden: !usual }, usual));
  app.on("highlight", (ids) => { if (!ids.size) note(usual); });
  if (!program) return;
  const svg = app.svgEl("svg", {
    id: "kernels", class: "drawing", tabindex: 0, role: "group",
    "aria-label": "kernels of the program",
  }, content);
  stage.prepend(svg);
  app.kernelContent = content;
  const first = `k${Math.min(...byId.keys())}`;
  app.kernelBounds = () => ({ ...placed, start: placed.items[first]?.y });
  app.cameras.kernels = app.makeCamera(svg, content, app.kernelBounds);
  listen(svg);
  app.on("mode", (mode) => {
    note(mode === "kernels" ? (program.head ?? []).join("\n") : usual);
    if (mode !== "kernels" || placed) return;
    draw(); // at first sight, not before: most readers come for the graph
    app.cameras.kernels.fit(0.75);
  });
};
