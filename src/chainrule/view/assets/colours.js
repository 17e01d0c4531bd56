// Boxes coloured by what they cost or receive, and the legend for signs and colours.

const { nodes, groups, state } = app;

// From little to much; on a dark page much is bright.
const SCALE = {
  light: ["#fff8ec", "#fddcae", "#fba566", "#e2603c", "#96202b"],
  dark: ["#232a3a", "#46346b", "#8c3a7c", "#dd5a68", "#fdb36b"],
};
const BROKEN = { nan: "#d1202f", inf: "#e58a1f" };

const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/** The colour at a place in 0..1 of the scale. */
function mix(stops, at) {
  const place = Math.max(0, Math.min(1, at)) * (stops.length - 1);
  const i = Math.min(Math.floor(place), stops.length - 2);
  const [a, b] = [channels(stops[i]), channels(stops[i + 1])];
  return a.map((v, c) => Math.round(v + (b[c] - v) * (place - i)));
}

/** Black or white, whichever is easier to read on a colour. */
const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#16191d" : "#ffffff");

const dark = () => app.theme() === "dark";
const scale = () => SCALE[dark() ? "dark" : "light"];

// ---------------------------------------------------------------------------- what is measured

const sum = (ids, of) => ids.reduce((total, id) => total + (of(nodes[id]) ?? 0), 0);

const MODES = {
  none: { label: "no colours" },
  gradient: {
    label: "gradient norm", log: true, format: (v) => app.format.number(v),
    // Of a group it is that of what leaves it: what the drawing shows in its box.
    of: (ids, main) => (main && app.knowsGradient(main.id)
      ? app.float(main.gradient?.norm) : undefined),
  },
  time: {
    label: "time", format: (v) => app.format.us(v), of: (ids) => sum(ids, (n) => n.us),
  },
  memory: {
    label: "memory", format: (v) => app.format.bytes(v), of: (ids) => sum(ids, (n) => n.bytes),
  },
  nan: { label: "NaN and inf" },
};
app.colourModes = Object.entries(MODES).map(([id, { label }]) => ({ id, label }));

/** The worst that is in some nodes, in values or gradients: "nan", "inf" or nothing. */
function broken(ids) {
  const arrays = ids.flatMap((id) => [nodes[id].value, nodes[id].gradient]).filter(Boolean);
  if (arrays.some((a) => a.nan)) return "nan";
  return arrays.some((a) => a.inf) ? "inf" : "";
}

/** The boxes that are drawn, each with the nodes it stands for. */
function drawnBoxes() {
  return [...app.graphContent.querySelectorAll(".node, .group.folded")].map((element) => {
    const { id, group } = element.dataset;
    if (id !== undefined) return { element, ids: [Number(id)], main: nodes[id] };
    return { element, ids: app.inside(Number(group)), main: nodes[groups[group].output] };
  });
}

// ---------------------------------------------------------------------------- painting

let range = null; // [least, most] of the present scale
let bare = true; // nothing was ever coloured: folding then costs nothing here

function paint() {
  if (state.colour === "none" && bare) return;
  bare = false;
  const mode = MODES[state.colour];
  const boxes = drawnBoxes();
  range = null;
  if (mode.of) {
    for (const box of boxes) box.amount = mode.of(box.ids, box.main);
    const amounts = boxes.map((b) => b.amount).filter((v) => v > 0 && Number.isFinite(v));
    if (amounts.length) range = [mode.log ? Math.min(...amounts) : 0, Math.max(...amounts)];
  }
  for (const box of boxes) paintBox(box, colourOf(box, mode));
  showLegend();
}

function colourOf(box, mode) {
  if (state.colour === "nan") {
    const what = broken(box.ids);
    return what ? channels(BROKEN[what]) : null;
  }
  if (!mode.of || box.amount === undefined || !range) return null;
  if (!(box.amount > 0)) return mix(scale(), 0);
  return mix(scale(), fraction(box.amount, mode));
}

function fraction(v, { log }) {
  const [least, most] = log ? range.map(Math.log) : range;
  return most > least ? ((log ? Math.log(v) : v) - least) / (most - least) : 1;
}

const painted = new WeakSet();

function paintBox({ element }, rgb) {
  const coloured = state.colour !== "none";
  element.classList.toggle("pale", coloured && !rgb);
  if (!rgb && !painted.has(element)) return;
  painted.add(element);
  for (const rect of element.querySelectorAll(".box")) {
    rect.style.fill = rgb ? `rgb(${rgb.join(" ")})` : "";
  }
  // What stands in the box must be read on its colour; what stands below or beside it, on the page.
  const ink = rgb ? inkOn(rgb) : "";
  const inner = element.matches(".folded") ? "text, tspan, .figure path, .toggle path"
    : ":scope > text:not(.given-name, .total)";
  for (const part of element.querySelectorAll(inner)) {
    if (!part.classList.contains("bracket")) part.style.fill = ink;
  }
}

// ---------------------------------------------------------------------------- legend

const SIZE = 11;

/** The signs that this drawing uses, each [draw(x, y), text]. */
function entries() {
  if (state.mode === "kernels") {
    const bar = (x, y) => app.svgEl("rect", { x, y: y - 1.5, width: 18, height: 3, class: "heat" });
    return [[bar, "time, the slowest kernel's is the full width"]];
  }
  const kinds = new Set(nodes.map((node) => node.kind));
  const square = (kind) => (x, y) => app.svgEl("g", { class: `node ${kind}` },
    app.svgEl("rect", { x, y: y - 6, width: 14, height: 12, rx: 2, class: "box" }));
  const number = (kind) => (x, y) => app.text(x, y, "0.5", kind, SIZE);
  const all = [
    [kinds.has("data"), square("data"), "data"],
    [kinds.has("parameter"), square("parameter"), "parameter"],
    [kinds.has("operator"), (x, y) => app.svgEl("g", { class: "node operator" },
      app.svgEl("circle", { cx: x + 7, cy: y, r: 6.5, class: "box" })), "operator"],
    [groups.length > 1, (x, y) => app.svgEl("g", { class: "group folded" },
      app.svgEl("rect", { x, y: y - 6, width: 16, height: 12, rx: 4, class: "box" })), "group"],
    [nodes.some((n) => n.value), number("value"), "value, norm"],
    [nodes.some((n) => n.gradient), number("gradient"), "gradient"],
    [nodes.some((n) => n.gradient) && nodes.some((n) => n.gradient_state === "none"),
      (x, y) => app.svgEl("g", { class: "link no-gradient" },
        app.svgEl("path", { class: "edge", d: `M${x} ${y}h18` })), "no gradient"],
  ];
  return all.filter(([used]) => used).map(([, draw, text]) => [draw, text]);
}

/** The legend as an SVG group whose left end is (0, 0): {element, width}. */
app.legend = () => {
  const element = app.svgEl("g", { class: "legend" });
  let x = 0;
  for (const [draw, text] of entries()) {
    element.append(draw(x, 0), app.text(x + 24, 0, text, "faint", SIZE));
    x += 24 + app.textWidth(text, SIZE) + 16;
  }
  const bar = scaleBar(x + 6);
  if (bar) {
    element.append(bar.element);
    x += 6 + bar.width;
  }
  return { element, width: x };
};

function scaleBar(x) {
  if (state.mode === "kernels") return null;
  const mode = MODES[state.colour];
  const label = mode.log ? `${mode.label}, log scale` : mode.label;
  if (state.colour === "nan") return patches(x);
  if (!mode.of || !range) return null;
  const [least, most] = range.map(mode.format);
  const element = app.svgEl("g");
  const text = (content, kind) => {
    element.append(app.text(x, 0, content, kind, SIZE));
    x += app.textWidth(content, SIZE) + 6;
  };
  const start = x;
  text(`${label}:`, "faint");
  text(least, "faint");
  const steps = 24;
  for (let i = 0; i < steps; i += 1) {
    const fill = `rgb(${mix(scale(), i / (steps - 1)).join(" ")})`;
    element.append(app.svgEl("rect", { x: x + 4 * i, y: -5, width: 4.3, height: 10, fill }));
  }
  x += 4 * steps + 6;
  text(most, "faint");
  return { element, width: x - start };
}

function patches(x) {
  const element = app.svgEl("g");
  const start = x;
  for (const [what, fill] of Object.entries(BROKEN)) {
    element.append(app.svgEl("rect", { x, y: -6, width: 14, height: 12, rx: 3, fill }),
      app.text(x + 20, 0, `holds ${what}`, "faint", SIZE));
    x += 36 + app.textWidth(`holds ${what}`, SIZE);
  }
  return { element, width: x - start };
}

function showLegend() {
  const place = document.getElementById("legend");
  if (!place) return;
  const { element, width } = app.legend();
  element.setAttribute("transform", "translate(0 10)");
  place.replaceChildren(app.svgEl("svg", {
    class: "drawing", width, height: 20, role: "img", "aria-label": "legend",
  }, element));
}

app.start.colours = () => {
  document.getElementById("stage").append(app.el("div", { id: "legend" }));
  for (const event of ["colour", "fold", "theme"]) app.on(event, paint);
  app.on("mode", showLegend);
  app.on("frame", () => { if (state.colour === "gradient") paint(); });
  showLegend();
};
