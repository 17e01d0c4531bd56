// The graph as data, what the reader has chosen of it, and the events that tell of a change.
//
// Every file of this page is a block of its own; `app` is all they share.  Each part reads the
// state from here and listens for its changes, so that no part needs to know another one.
//
//   app.data, app.nodes, app.edges, app.groups       what Python recorded; edges carry their `id`
//   app.outgoing[id], app.incoming[id]                ids of the edges from and to a node
//   app.state                                         see below; change it by the functions only
//   app.on(event, fn), app.emit(event, payload)       select, frame, fold, colour, mode,
//                                                     highlight, theme, reveal, resize
//   app.start.<name> = fn                             main.js calls each once, when all is loaded

const data = JSON.parse(document.getElementById("data").textContent);
const nodes = data.nodes;
const edges = data.edges ?? [];
const groups = data.groups ?? [{ id: 0, label: data.title ?? "", kind: "root" }];

Object.assign(app, { data, nodes, edges, groups, start: {} });

// ---------------------------------------------------------------------------- indices

app.outgoing = nodes.map(() => []);
app.incoming = nodes.map(() => []);
edges.forEach((edge, id) => {
  edge.id = id;
  app.outgoing[edge.tail].push(id);
  app.incoming[edge.head].push(id);
});

for (const group of groups) {
  group.children = [];
  group.members = []; // the nodes directly inside, not those of groups inside
}
for (const group of groups) {
  if (group.id) groups[group.parent].children.push(group.id);
}
for (const node of nodes) groups[node.group ?? 0].members.push(node.id);

/** The groups around a group and the group itself, outermost first: [0, ..., gid]. */
app.chain = (gid) => {
  const chain = [];
  for (let g = gid; g !== undefined; g = groups[g].parent) chain.push(g);
  return chain.reverse();
};

/** The ids of all nodes inside of a group, at any depth. */
app.inside = (gid) => {
  const found = [];
  const todo = [gid];
  while (todo.length) {
    const group = groups[todo.pop()];
    found.push(...group.members);
    todo.push(...group.children);
  }
  return found.sort((a, b) => a - b);
};

// ---------------------------------------------------------------------------- state and events

app.state = {
  selected: null, // a node's id
  selectedEdge: null, // an edge's id; at most one of the four selections is not null
  selectedGroup: null, // a group's id
  selectedKernel: null, // a kernel's id
  highlight: new Set(), // ids of nodes pointed out: those of a kernel, of a finding, of a search
  frame: null, // null: everything is known; k: what is known after k + 1 steps
  mode: "graph", // or "kernels"
  colour: "none", // or "gradient", "time", "memory", "nan"
  open: new Set(groups.filter((g) => g.id === 0 || g.open).map((g) => g.id)),
};
const state = app.state;
const listeners = new Map();

app.on = (event, fn) => {
  if (!listeners.has(event)) listeners.set(event, []);
  listeners.get(event).push(fn);
};
app.emit = (event, payload) => {
  for (const fn of listeners.get(event) ?? []) fn(payload);
};

function choose(what, id) {
  const before = { ...state };
  Object.assign(state, {
    selected: null, selectedEdge: null, selectedGroup: null, selectedKernel: null,
  });
  if (what) state[what] = id;
  const names = ["selected", "selectedEdge", "selectedGroup", "selectedKernel"];
  if (names.some((name) => before[name] !== state[name])) app.emit("select", state);
}

/** Select a node; null selects nothing. */
app.select = (id) => choose(id === null ? null : "selected", id);
app.selectEdge = (id) => choose(id === null ? null : "selectedEdge", id);
app.selectGroup = (gid) => choose(gid === null ? null : "selectedGroup", gid);
app.selectKernel = (id) => choose(id === null ? null : "selectedKernel", id);

/** Point out some nodes; none for an empty list. */
app.setHighlight = (ids) => {
  state.highlight = new Set(ids);
  app.emit("highlight", state.highlight);
};

/** Open or fold one group or a list of groups, at once. */
app.setOpen = (gids, open) => {
  const changed = [gids].flat().filter((g) => g !== 0 && state.open.has(g) !== open);
  for (const g of changed) state.open[open ? "add" : "delete"](g);
  if (changed.length) app.emit("fold", { groups: changed, open });
};

/** Open all groups around a node, select it and bring it into sight. */
app.reveal = (id) => {
  if (state.mode !== "graph") app.setMode("graph");
  app.setOpen(app.chain(nodes[id].group ?? 0), true);
  app.select(id);
  app.emit("reveal", { node: id });
};

/** Bring the box that now shows a node into sight, without opening any group. */
app.show = (id) => app.emit("reveal", { node: id });

app.setColour = (colour) => {
  state.colour = colour;
  app.emit("colour", colour);
};
app.setMode = (mode) => {
  if (mode === state.mode || (mode === "kernels" && !data.kernels)) return;
  state.mode = mode;
  document.body.dataset.mode = mode;
  app.emit("mode", mode);
};

// ---------------------------------------------------------------------------- what is drawn

/** The outermost folded group around a node, or null: the node has a box of its own. */
app.hiddenBy = (id) => app.chain(nodes[id].group ?? 0).find((g) => !state.open.has(g)) ?? null;

/** Whether a group's box or region is drawn: all groups around it are open. */
app.isDrawn = (gid) => app.chain(gid).slice(0, -1).every((g) => state.open.has(g));

// ---------------------------------------------------------------------------- frames

const forward = data.forward ?? [];
const backward = data.backward ?? [];
app.frames = forward.length + backward.length;

// For each number the first frame that shows it; leaves are known from the start.
const valueFrame = new Array(nodes.length).fill(-1);
forward.forEach((id, k) => { valueFrame[id] = k; });
const passedFrame = new Array(nodes.length).fill(Infinity);
backward.forEach((id, k) => { passedFrame[id] = forward.length + k; });
const gradientFrame = nodes.map((node) => {
  const carrying = app.outgoing[node.id].filter((e) => edges[e].gradient);
  const first = node.id === data.output ? forward.length : -1;
  // A gradient is complete when every user has handed its share.
  return carrying.reduce((k, e) => Math.max(k, passedFrame[edges[e].head]), first);
});

/** The op that frame k adds: {id, part: "forward"|"backward"}; null if all is known. */
app.frameOp = (k) => {
  if (k === null || k < 0 || k >= app.frames) return null;
  if (k < forward.length) return { id: forward[k], part: "forward" };
  return { id: backward[k - forward.length], part: "backward" };
};

/** Go to a frame, 0 .. app.frames - 1; null shows everything. */
app.setFrame = (k) => {
  state.frame = k === null ? null : Math.max(0, Math.min(app.frames - 1, k));
  app.emit("frame", state.frame);
};

// Whether a number is known at the present frame.
app.knowsValue = (id) => state.frame === null || valueFrame[id] <= state.frame;
app.knowsGradient = (id) => state.frame === null || gradientFrame[id] <= state.frame;
app.knowsShare = (e) => state.frame === null || passedFrame[edges[e].head] <= state.frame;

// ---------------------------------------------------------------------------- numbers as text

/** JSON has no nan and no infinities: Python writes them as strings. */
app.float = (v) => {
  if (typeof v === "number" || v === undefined || v === null) return v;
  return { nan: NaN, inf: Infinity, "-inf": -Infinity }[v] ?? Number(v);
};

const trimmed = (v, digits) => String(Number(v.toPrecision(digits)));

function scaled(v, base, units) {
  let k = 0;
  while (Math.abs(v) >= 0.9995 * base && k < units.length - 1) {
    v /= base;
    k += 1;
  }
  return `${trimmed(v, 3)} ${units[k]}`;
}

app.format = {
  /** A number in at most about seven characters, as Python's drawings write it. */
  number(given) {
    const v = app.float(given);
    if (typeof v !== "number") return "";
    if (Number.isNaN(v)) return "nan";
    if (!Number.isFinite(v)) return v > 0 ? "inf" : "-inf";
    const size = Math.abs(v);
    if (v === 0 || (size >= 0.005 && size < 9999.5)) return v.toFixed(size < 999.95 ? 2 : 0);
    const [mantissa, exponent] = v.toExponential(1).split("e");
    return `${mantissa}e${Number(exponent)}`;
  },
  bytes: (v) => scaled(v, 1000, ["B", "kB", "MB", "GB", "TB"]),
  us: (v) => (v >= 1e6 ? `${trimmed(v / 1e6, 3)} s` : scaled(v, 1000, ["µs", "ms"])),
  flops: (v) => scaled(v, 1000, ["flop", "kflop", "Mflop", "Gflop", "Tflop"]),
  count: (v) => (v < 1e5 ? String(v) : scaled(v, 1000, ["", "k", "M", "G"]).replace(" ", "")),
  shape: (shape) => (shape?.length ? shape.join("×") : "scalar"),
  percent: (v) => `${trimmed(100 * v, 2)} %`,
};

/** The user's name for a node, else what it is: "logits", "exp", "linear #12". */
app.nameOf = (id) => {
  const node = nodes[id];
  if (node.name) return node.name;
  return node.kind === "operator" ? `${node.label || node.op} #${id}` : node.label || `#${id}`;
};

// ---------------------------------------------------------------------------- elements

const SVG = "http://www.w3.org/2000/svg";

function build(element, attrs, children) {
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    // Text from the user's program only ever becomes text or an attribute, never markup.
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
}

/** An HTML element: el("button", {class: "tool", onclick: fn, "aria-label": ".."}, "text", ...). */
app.el = (tag, attrs, ...children) => build(document.createElement(tag), attrs, children);

/** The same for SVG. */
app.svgEl = (tag, attrs, ...children) =>
  build(document.createElementNS(SVG, tag), attrs, children);

/** A button with a sign to see, a sentence to hear and to read on hovering. */
app.button = (sign, label, onclick, attrs) =>
  app.el("button", { type: "button", "aria-label": label, title: label, onclick, ...attrs }, sign);

/** Say something to those who do not see the drawing. */
app.announce = (text) => { document.getElementById("spoken").textContent = text; };

// ---------------------------------------------------------------------------- keys

app.keys = []; // {keys, text}: what the help lists
const actions = new Map();

/** Bind keys, e.g. app.key("e", "unfold one level", fn); a list of keys is spelled ["+", "="]. */
app.key = (keys, text, run) => {
  const all = [keys].flat();
  app.keys.push({ keys: all, text });
  for (const key of all) actions.set(key, run);
};

// Keys belong to the page unless somebody writes, or works a control that has its own use of them.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target;
  const writing = target.closest?.("input, textarea, select, [contenteditable]");
  const pressing = target.closest?.("button, a, summary, [role=slider], [role=option]");
  if (writing && event.key !== "Escape") return;
  if (pressing && (event.key === "Enter" || event.key === " ")) return;
  const run = actions.get(event.key);
  if (run && run(event) !== false) event.preventDefault();
});
