// What stands in the columns: how large each box is, and what is drawn in it.
//
// Squares are leaves, circles are operators, rounded boxes are folded groups.  A box is drawn
// around (0, 0) once and only moved afterwards.

const LINE = 13;
const SMALL = 10;
const ARROW = 7;
const { nodes, edges, groups } = app;

// ---------------------------------------------------------------------------- what is said

/** What a node is, in one line: for those who hear the page, and on hovering. */
app.sayNode = (id) => {
  const node = nodes[id];
  const what = { data: "data", parameter: "parameter", constant: "constant", error: "error" };
  const kind = what[node.kind] ?? node.op;
  const named = node.name && node.name !== kind ? `${node.name}, ` : "";
  const parts = [`${named}${kind}, ${app.format.shape(node.shape)} ${node.dtype ?? ""}`.trim()];
  if (node.kind === "error") return `${parts[0]}: ${node.message ?? ""}`;
  if (node.value && app.knowsValue(id)) parts.push(`value ${node.value.text ?? ""}`);
  if (node.gradient && app.knowsGradient(id)) parts.push(`gradient ${node.gradient.text ?? ""}`);
  if (node.gradient_state === "none") parts.push("no gradient reaches it");
  return parts.join("; ");
};

app.sayGroup = (gid) => {
  const group = groups[gid];
  const state = app.state.open.has(gid) ? "open" : "folded";
  return `${group.label}, ${state} ${group.kind}, ${app.format.count(group.count ?? 0)} nodes`;
};

// ---------------------------------------------------------------------------- sizes

/** How many links leave a node on its own level: where they are several, its total stands below. */
const leaving = new Map();
for (const layout of Object.values(app.data.layout ?? {})) {
  for (const link of layout.links ?? []) {
    if (link.tail[0] === "n") leaving.set(link.tail, (leaving.get(link.tail) ?? 0) + 1);
  }
}

/** The sum over the uses of a value, where no single link carries it. */
function total(node) {
  if (!node.gradient || node.kind === "constant" || !(leaving.get(`n${node.id}`) > 1)) return "";
  return `Σ ${app.isZero(node.gradient) ? "0" : (node.gradient.text ?? "").replace(/^norm /, "")}`;
}

/** The lines below an operator or leaf: the user's name for it, and the total gradient. */
function linesBelow(node) {
  const lines = [];
  if (node.kind === "operator" && node.name) lines.push([node.name, "given-name"]);
  if (total(node)) lines.push([total(node), "gradient total"]);
  return lines;
}

/** The value and the gradient that leave the whole graph. */
function outlet(node) {
  if (node.id !== app.data.output || node.kind === "error") return null;
  const value = node.value && app.figure(node.value, "value");
  const gradient = node.gradient && app.figure(node.gradient, "gradient");
  return { value, gradient, width: Math.max(30, value?.width ?? 0, gradient?.width ?? 0) + 22 };
}

const wrap = (text, most) => {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    if (lines.at(-1) && lines.at(-1).length + word.length >= most) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word.slice(0, 2 * most);
  }
  return lines.length > 6 ? [...lines.slice(0, 6), "…"] : lines;
};

/** Names can be long: the middle tells least. */
const clip = (text, most = 34) =>
  (text.length <= most ? text : `${text.slice(0, most - 14)}…${text.slice(-13)}`);

const sizes = new Map(); // of a node's box: nothing that changes later has a part in it

/** {width, height, clearance, radius, outlet} of a node's box. */
app.nodeSize = (id) => {
  let size = sizes.get(id);
  if (!size) sizes.set(id, (size = measure(nodes[id])));
  return size;
};

/** What stands in a box.  What the group around a parameter says already is left out. */
function labelOf(node) {
  const label = node.label || node.name || (node.kind === "operator" ? node.op : node.kind);
  if (node.kind !== "parameter") return clip(label);
  const parts = label.split(".");
  for (const gid of app.chain(node.group ?? 0).slice(1).reverse()) {
    const known = parts.lastIndexOf(groups[gid].label?.split(":")[0], parts.length - 2);
    if (known >= 0) return clip(parts.slice(known + 1).join("."));
  }
  return clip(label);
}

function measure(node) {
  const label = labelOf(node);
  if (node.kind === "constant") {
    return { width: app.textWidth(label, 11) + 6, height: 16, clearance: 0, radius: 0, label };
  }
  if (node.kind === "error") {
    const lines = wrap(node.message ?? "", 44);
    const wide = lines.map((line) => app.textWidth(line, 11));
    const width = Math.max(app.textWidth(label, 12, 600), ...wide);
    return { width: width + 24, height: 24 + 15 * lines.length, radius: 6, label, lines };
  }
  const below = linesBelow(node);
  const clearance = below.length ? LINE * below.length + 2 : 0;
  const wide = Math.max(0, ...below.map(([text]) => app.textWidth(text, 11, 600)));
  const way = outlet(node);
  if (node.kind === "operator") {
    const box = Math.max(30, app.textWidth(label) + 18);
    const across = Math.max(box, way ? 0 : Math.min(wide, box + 40));
    return {
      width: way ? box + way.width : across, box, height: 30, radius: 15, clearance, label, below,
      outlet: way ? way.width : (across - box) / 2, inset: way ? 0 : (across - box) / 2, way,
    };
  }
  const shape = node.shape?.length ? app.format.shape(node.shape) : "";
  const inner = Math.max(app.textWidth(label, 12, 600), app.textWidth(shape, SMALL));
  const box = Math.max(28, inner + 18);
  const beyond = way ? { way, outlet: way.width } : null;
  const height = shape ? 38 : 26;
  const width = box + (way?.width ?? 0);
  return { width, box, height, radius: 3, clearance, label, below, shape, ...beyond };
}

/** The size of a folded group's box; what is in it is drawn by `drawFolded`. */
app.foldedSize = (gid) => {
  const key = `g${gid}`;
  let size = sizes.get(key);
  if (!size) sizes.set(key, (size = measureFolded(groups[gid])));
  return size;
};

function measureFolded(group) {
  const node = nodes[group.output];
  const label = clip(group.label || group.kind);
  const facts = [
    node && app.format.shape(node.shape),
    `${app.format.count(group.count ?? group.members.length)} nodes`,
  ].filter(Boolean).join(" · ");
  const value = node?.value && app.figure(node.value, "value");
  const gradient = node?.gradient && app.figure(node.gradient, "gradient");
  const wide = [app.textWidth(label, 12, 600) + 16, app.textWidth(facts, SMALL),
    value?.width ?? 0, gradient?.width ?? 0];
  const up = value ? value.height + 2 : 0;
  const down = gradient ? gradient.height + 2 : 0;
  const height = 40 + up + down + (up || down ? 9 : 0);
  const width = Math.max(64, ...wide) + 24;
  return { width, height, radius: 9, label, facts, value, gradient, up };
}

// ---------------------------------------------------------------------------- drawing

const arrow = (x, y) => app.svgEl("path", { class: "arrow", d: `M${x} ${y}l${-ARROW} -3.4v6.8z` });
app.arrow = arrow;
app.ARROW = ARROW;

/** The element of a node, around (0, 0). */
app.drawNode = (id) => {
  const node = nodes[id];
  const size = app.nodeSize(id);
  const group = app.svgEl("g", {
    class: `node ${node.kind}`, "data-id": id, role: "button", tabindex: -1,
    "aria-label": app.sayNode(id),
  });
  if (node.kind === "constant") group.append(plainText(size));
  else if (node.kind === "error") group.append(...errorBox(size));
  else group.append(...box(node, size));
  return group;
};

function plainText(size) {
  const { width: w, height: h } = size;
  const area = app.svgEl("rect", { x: -w / 2, y: -h / 2, width: w, height: h, class: "area" });
  return app.svgEl("g", null, area, app.text(0, 0, size.label, "constant middle", 11));
}

function errorBox({ width, height, radius, label, lines }) {
  const top = -height / 2;
  return [
    app.svgEl("rect", { x: -width / 2, y: top, width, height, rx: radius, class: "box" }),
    app.text(0, top + 14, label, "name middle"),
    ...lines.map((line, i) => app.text(0, top + 29 + 15 * i, line, "message middle", 11)),
  ];
}

function box(node, size) {
  // With a way out, the box stands at the left of its room; else in the middle.
  const x = -size.width / 2 + (size.inset ?? 0);
  const middle = x + size.box / 2;
  const { height: h } = size;
  const leaf = node.kind !== "operator";
  const shift = size.shape ? -6 : 0;
  const parts = [
    app.svgEl("rect", { x, y: -h / 2, width: size.box, height: h, rx: size.radius, class: "box" }),
    app.text(middle, shift, size.label, leaf ? "name middle" : "middle"),
  ];
  if (size.shape) parts.push(app.text(middle, 9, size.shape, "faint small middle", SMALL));
  size.below.forEach(([text, kind], i) => {
    parts.push(app.text(middle, h / 2 + 2 + LINE * (i + 0.5), text, `${kind} middle`, 11));
  });
  if (size.way) parts.push(...wayOut(size, x + size.box));
  return parts;
}

/** The line on which the value of the whole graph leaves it, and the gradient 1 enters. */
function wayOut(size, x) {
  const end = x + size.way.width;
  const middle = (x + end - ARROW) / 2;
  const parts = [
    app.svgEl("path", { class: "edge", d: `M${x} 0H${end - ARROW + 1}` }), arrow(end, 0),
  ];
  for (const [figure, up] of [[size.way.value, true], [size.way.gradient, false]]) {
    if (figure) parts.push(place(figure, middle, up ? -2 : 2, up));
  }
  return parts;
}

/** A figure at (x, y), upwards or downwards. */
function place(figure, x, y, up) {
  const element = figure.draw(up);
  element.setAttribute("transform", `translate(${x} ${y})`);
  return element;
}
app.placeFigure = place;

/** The sign that says a group can be unfolded or folded; a click on it does it. */
app.toggle = (x, y, open) => app.svgEl("g", { class: "toggle" },
  app.svgEl("rect", { x: x - 5, y: y - 9, width: 18, height: 18, class: "area" }),
  app.svgEl("path", { d: open ? `M${x} ${y - 2}h8l-4 5z` : `M${x + 1.5} ${y - 4}v8l5 -4z` }));

/** The element of a folded group, around (0, 0). */
app.drawFolded = (gid) => {
  const group = groups[gid];
  const size = app.foldedSize(gid);
  const { width: w, height: h } = size;
  const top = -h / 2;
  const text = app.textWidth(size.label, 12, 600);
  const axis = top + 44 + size.up;
  const element = app.svgEl("g", {
    class: `group folded ${group.kind}`, "data-group": gid, role: "button", tabindex: -1,
    "aria-expanded": "false", "aria-label": app.sayGroup(gid),
  });
  // What repeats lies behind: one box stands for several.
  const behind = group.kind === "repeat" ? [6, 3] : [];
  for (const d of behind) {
    element.append(app.svgEl("rect", {
      x: -w / 2 + d, y: top - d, width: w - 2 * d + d, height: h, rx: size.radius,
      class: "box behind",
    }));
  }
  element.append(
    app.svgEl("rect", { x: -w / 2, y: top, width: w, height: h, rx: size.radius, class: "box" }),
    app.toggle(-(text + 14) / 2, top + 16, false),
    app.text(7, top + 16, size.label, "name middle"),
    app.text(0, top + 31, size.facts, "faint small middle", SMALL),
  );
  if (size.value || size.gradient) {
    const half = Math.max(23, (size.value?.width ?? 0) / 2, (size.gradient?.width ?? 0) / 2);
    element.append(app.svgEl("path", { class: "axis", d: `M${-half} ${axis}H${half}` }));
  }
  if (size.value) element.append(place(size.value, 0, axis - 1, true));
  if (size.gradient) element.append(place(size.gradient, 0, axis + 1, false));
  return element;
};

// ---------------------------------------------------------------------------- labels of links

/**
 * What is written on a link that carries `carried` edges of one source: {value, gradient, size}.
 *
 * All uses together carry the gradient of the value; one use its share; some of them, of which only
 * the sum of small arrays can be told, say how many they are.
 */
app.linkLabel = (source, carried) => {
  const node = nodes[source];
  if (node.kind === "constant" || node.kind === "error") return null;
  const leaf = node.kind !== "operator";
  const shape = leaf || !node.shape?.length ? "" : app.format.shape(node.shape);
  const value = node.value ? app.figure(node.value, "value", shape) : null;
  const gradient = gradientFigure(node, carried);
  if (!value && !gradient) return null;
  const width = Math.max(value?.width ?? 0, gradient?.width ?? 0) + 8;
  const half = Math.max(value?.height ?? 0, gradient?.height ?? 0);
  return { value, gradient, width, height: 2 * half + 4 };
};

function gradientFigure(node, carried) {
  const flowing = carried.filter((e) => edges[e].gradient);
  if (!flowing.length) return null;
  const all = app.outgoing[node.id].filter((e) => edges[e].gradient);
  if (flowing.length === all.length && node.gradient) return app.figure(node.gradient, "gradient");
  if (flowing.length === 1) return app.figure(edges[flowing[0]].gradient, "gradient");
  return app.wordFigure(`${flowing.length} of ${all.length} uses`, "gradient");
}
