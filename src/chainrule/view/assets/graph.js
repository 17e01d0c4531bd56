// Draws the graph.  An open group is one SVG group that holds its boxes and links and knows
// nothing of where it stands; so unfolding one redraws the groups around it, and no others.
//
// A link is drawn on every level it passes, from border to border: the pieces meet where the edge
// crosses the border of a group, and each distinct bundle of edges is labelled once on its way.

const PADDING = 16;
const TITLE = 26;
const { nodes, edges, groups, state } = app;
const layouts = app.data.layout ?? {};

const svg = app.svgEl("svg", {
  id: "canvas", class: "drawing", tabindex: 0, role: "group",
  "aria-label": "computational graph: arrow keys walk along the edges, Enter unfolds and folds",
});
const content = app.svgEl("g", { class: "content" });
svg.append(content);

// ---------------------------------------------------------------------------- bundles of edges

/** For each link of each level the edges it carries, and whether it is the place of the label. */
const bundles = new Map();
for (const [gid, layout] of Object.entries(layouts)) {
  bundles.set(Number(gid), (layout.links ?? []).map(() => ({ edges: [], before: null })));
}
for (const edge of edges) {
  let before = null;
  for (const [gid, index] of edge.route ?? []) {
    const bundle = bundles.get(gid)[index];
    bundle.edges.push(edge.id);
    bundle.before = before;
    before = { gid, bundle };
  }
}

/** A link repeats no label: not where the same edges were labelled just before ... */
function isLabelled(gid, index) {
  const { edges: carried, before } = bundles.get(gid)[index];
  const link = layouts[gid].links[index];
  if (!carried.length) return false;
  const same = before && before.bundle.edges.length === carried.length;
  if (same && app.isDrawn(before.gid) && state.open.has(before.gid)) return false;
  // ... nor behind a folded group that shows this value and its gradient itself.
  if (link.tail[0] !== "g") return true;
  const tail = groups[Number(link.tail.slice(1))];
  return tail.output !== link.from || carried.length !== app.outgoing[link.from].length;
}

function labelOf(gid, index) {
  const bundle = bundles.get(gid)[index];
  // What a link says and how large that is depends on nothing that changes.
  bundle.label ??= app.linkLabel(layouts[gid].links[index].from, bundle.edges) ?? false;
  return bundle.label;
}

// ---------------------------------------------------------------------------- levels

const levels = new Map(); // gid -> what is drawn of an open group

function levelOf(gid) {
  let level = levels.get(gid);
  if (!level) {
    level = {
      gid, dirty: true, placed: null, size: null,
      items: new Map(), // key -> element
      links: [], // of each link {element, path, head, label, shown}
      root: app.svgEl("g", { class: gid ? "group open" : "level", "data-group": gid || null }),
      back: app.svgEl("g"), front: app.svgEl("g"), between: app.svgEl("g"),
    };
    if (gid) dress(level);
    level.root.append(level.back, level.between, level.front);
    levels.set(gid, level);
  }
  return level;
}

/** The region behind an open group, and its title. */
function dress(level) {
  const group = groups[level.gid];
  level.region = app.svgEl("rect", { class: "region", rx: 10 });
  const title = app.svgEl("g", { class: "title" },
    app.toggle(12, TITLE / 2, true), app.text(26, TITLE / 2, group.label || group.kind, "caption"));
  level.root.setAttribute("role", "button");
  level.root.setAttribute("tabindex", -1);
  level.root.setAttribute("aria-expanded", "true");
  level.root.setAttribute("aria-label", app.sayGroup(level.gid));
  level.root.append(level.region, title);
}

/** Lay out an open group and draw it, inner ones first; one that did not change costs nothing. */
function refresh(gid) {
  const level = levelOf(gid);
  if (!level.dirty) return level;
  level.dirty = false;
  const layout = layouts[gid] ?? { columns: [], links: [] };
  for (const child of groups[gid].children) if (state.open.has(child)) refresh(child);
  const labels = (layout.links ?? []).map((link, i) => isLabelled(gid, i) && labelOf(gid, i));
  level.placed = app.place(layout, sizeOf, (i) => labels[i] || null);
  if (gid) frame(level);
  else level.size = level.placed;
  drawItems(level);
  drawLinks(level, layout, labels);
  return level;
}

function sizeOf(key) {
  const id = Number(key.slice(1));
  if (key[0] === "n") return app.nodeSize(id);
  if (key[0] !== "g") return { width: 0, height: 6 };
  return state.open.has(id) ? levels.get(id).size : app.foldedSize(id);
}

/** Put the border around what a group holds; ports stand on it, the contents in the middle. */
function frame(level) {
  const { placed, gid } = level;
  const title = app.textWidth(groups[gid].label || groups[gid].kind) + 30;
  const width = Math.max(placed.width, title) + 2 * PADDING;
  const height = placed.height + TITLE + PADDING;
  const across = (width - placed.width) / 2;
  const ports = { in: {}, out: {} };
  for (const [key, item] of Object.entries(placed.items)) {
    item.x += across;
    item.y += TITLE;
    if (item.side) ports[item.side === "first" ? "in" : "out"][key.slice(1)] = item.y - height / 2;
  }
  for (const link of placed.links) {
    for (const point of link.points) [point[0], point[1]] = [point[0] + across, point[1] + TITLE];
    if (link.stops[0].side) link.points[0][0] = 0;
    if (link.stops.at(-1).side) link.points.at(-1)[0] = width;
    if (link.label) [link.label.x, link.label.y] = [link.label.x + across, link.label.y + TITLE];
  }
  const heights = Object.values(ports.in);
  const entered = placed.rows > 1 && heights.length
    ? heights.reduce((a, b) => a + b, 0) / heights.length : undefined;
  level.size = { width, height, ports, entered, radius: 10 };
  level.region.setAttribute("width", width);
  level.region.setAttribute("height", height);
}

function drawItems(level) {
  for (const [key, item] of Object.entries(level.placed.items)) {
    if (item.side) continue;
    const id = Number(key.slice(1));
    const open = key[0] === "g" && state.open.has(id);
    const slot = open ? `${key} open` : key;
    const other = key[0] === "g" && (open ? key : `${key} open`);
    level.items.get(other)?.remove();
    let element = level.items.get(slot);
    if (!element) {
      element = open ? levels.get(id).root : key[0] === "g" ? app.drawFolded(id) : app.drawNode(id);
      level.items.set(slot, element);
    }
    const [x, y] = open ? [item.x - item.width / 2, item.y - item.height / 2] : [item.x, item.y];
    element.setAttribute("transform", `translate(${round(x)} ${round(y)})`);
    // Regions lie below the links of their level, boxes above them.
    const layer = open ? level.back : level.front;
    if (element.parentNode !== layer) layer.append(element);
    if (!open) showNumbers(element);
  }
}

const round = (v) => Math.round(10 * v) / 10;

// ---------------------------------------------------------------------------- links

// Where nothing was propagated back at all, nothing is missing either.
const anyGradient = edges.some((edge) => edge.gradient);

function drawLinks(level, layout, labels) {
  (layout.links ?? []).forEach((link, i) => {
    const drawn = (level.links[i] ??= newLink(level, link, i));
    const { points, label } = level.placed.links[i];
    const arrives = link.head[0] === "n"
      || (link.head[0] === "g" && !state.open.has(Number(link.head.slice(1))));
    const [x, y] = points.at(-1);
    const ends = arrives ? [...points.slice(0, -1), [x - app.ARROW + 1, y]] : points;
    const d = app.smooth(ends);
    drawn.path.setAttribute("d", d);
    drawn.area.setAttribute("d", d);
    drawn.tip.setAttribute("d", arrives ? `M${round(x)} ${round(y)}l${-app.ARROW} -3.4v6.8z` : "");
    drawLabel(drawn, labels[i], label);
  });
}

function newLink(level, link, i) {
  const carried = bundles.get(level.gid)[i].edges;
  const source = nodes[link.from];
  const flows = carried.some((e) => edges[e].gradient);
  const kinds = ["link"];
  if (source.kind === "constant") kinds.push("constant");
  else if (!flows && anyGradient) kinds.push("no-gradient");
  const drawn = {
    carried, source: link.from, flows,
    area: app.svgEl("path", { class: "area" }),
    path: app.svgEl("path", { class: "edge" }),
    tip: app.svgEl("path", { class: "arrow" }),
    label: null, shown: null,
  };
  drawn.element = app.svgEl("g", {
    class: kinds.join(" "), "data-edges": carried.join(","), role: "button", tabindex: -1,
    "aria-label": `edge from ${app.nameOf(link.from)}, ${carried.length === 1
      ? `to ${app.nameOf(edges[carried[0]].head)}` : `${carried.length} uses`}`,
  }, drawn.area, drawn.path, drawn.tip);
  level.between.append(drawn.element);
  return drawn;
}

/** The value above the line and the gradient below it; made once, shown where the frame allows. */
function drawLabel(drawn, content, at) {
  if (!content || !at) {
    drawn.label?.remove();
    drawn.label = null;
    return;
  }
  if (!drawn.label) {
    drawn.label = app.svgEl("g", { class: "label" });
    drawn.value = content.value && app.placeFigure(content.value, 0, -2, true);
    drawn.gradient = content.gradient && app.placeFigure(content.gradient, 0, 2, false);
    if (drawn.gradient && isZeroShare(drawn)) drawn.gradient.classList.add("zero-gradient");
    drawn.label.append(...[drawn.value, drawn.gradient].filter(Boolean));
  }
  if (drawn.label.parentNode !== drawn.element) drawn.element.append(drawn.label);
  drawn.label.setAttribute("transform", `translate(${round(at.x)} ${round(at.y)})`);
  showKnown(drawn);
}

const isZeroShare = ({ carried }) => carried.every((e) => {
  const gradient = edges[e].gradient;
  return !gradient || app.isZero(gradient);
});

function showKnown(drawn) {
  if (!drawn.label) return;
  const shares = drawn.carried.filter((e) => edges[e].gradient);
  drawn.value?.classList.toggle("unknown", !app.knowsValue(drawn.source));
  drawn.gradient?.classList.toggle("unknown", !shares.every(app.knowsShare));
}

// ---------------------------------------------------------------------------- folding

/** Where a visible box is: {x, y, width, height}, centre and size, in the content's pixels. */
app.placeOf = (kind, id) => {
  const gid = kind === "node" ? nodes[id].group ?? 0 : groups[id].parent ?? 0;
  const item = levels.get(gid)?.placed?.items[`${kind === "node" ? "n" : "g"}${id}`];
  if (!item) return kind === "group" && id === 0 ? whole() : null;
  let { x, y } = item;
  for (let g = gid; g !== 0; g = groups[g].parent) {
    const around = levels.get(groups[g].parent)?.placed?.items[`g${g}`];
    if (!around) return null;
    x += around.x - around.width / 2;
    y += around.y - around.height / 2;
  }
  return { x, y, width: item.width, height: item.height };
};

function whole() {
  const { width, height } = levels.get(0).size;
  return { x: width / 2, y: height / 2, width, height };
}

/** Where the eye is held while a group changes its size: its title. */
function anchor(gid) {
  const at = app.placeOf("group", gid);
  return at && app.cameras.graph.toStage(at.x - at.width / 2, at.y - at.height / 2);
}

function refold({ groups: changed }) {
  const pinned = changed.find((g) => app.isDrawn(g) && levels.get(groups[g].parent)?.placed);
  const before = pinned !== undefined && anchor(pinned);
  for (const gid of changed) {
    for (const g of app.chain(gid)) if (levels.has(g)) levels.get(g).dirty = true;
  }
  refresh(0);
  const after = before && anchor(pinned);
  if (before && after) app.cameras.graph.move(before[0] - after[0], before[1] - after[1]);
  mark();
}

// ---------------------------------------------------------------------------- marks

/** The element that shows a node now: its own, or that of the folded group around it. */
app.elementOf = (id) => {
  const hidden = app.hiddenBy(id);
  return hidden === null ? itemElement(nodes[id].group ?? 0, `n${id}`)
    : itemElement(groups[hidden].parent ?? 0, `g${hidden}`);
};
app.elementOfGroup = (gid) => itemElement(groups[gid].parent ?? 0,
  state.open.has(gid) ? `g${gid} open` : `g${gid}`);
/** The first drawn piece of an edge, or null: both its ends are in one folded group. */
app.elementOfEdge = (id) => [...piecesOf([id])].find((piece) => piece.isConnected) ?? null;
const itemElement = (gid, slot) => levels.get(gid)?.items.get(slot) ?? null;

function setOnly(name, wanted) {
  for (const element of content.querySelectorAll(`.${name}`)) {
    if (!wanted.has(element)) element.classList.remove(name);
  }
  for (const element of wanted) element?.classList.add(name);
}

/** The drawn pieces of some edges. */
function piecesOf(ids) {
  const found = new Set();
  for (const id of ids) {
    for (const [gid, index] of edges[id].route ?? []) {
      const piece = levels.get(gid)?.links[index];
      if (piece) found.add(piece.element);
    }
  }
  return found;
}

/** Mark what is selected, pointed out, and at work in the present frame. */
function mark() {
  const { selected, selectedEdge, selectedGroup, highlight } = state;
  const chosen = new Set();
  if (selected !== null) chosen.add(app.elementOf(selected));
  if (selectedGroup !== null && selectedGroup !== 0 && app.isDrawn(selectedGroup)) {
    chosen.add(app.elementOfGroup(selectedGroup));
  }
  let near = [];
  if (selected !== null) near = [...app.incoming[selected], ...app.outgoing[selected]];
  if (selectedEdge !== null) {
    near = [selectedEdge];
    for (const piece of piecesOf([selectedEdge])) chosen.add(piece);
  }
  chosen.delete(null);
  setOnly("selected", chosen);
  setOnly("lit", piecesOf(near));
  setOnly("pointed", new Set([...highlight].map(app.elementOf).filter(Boolean)));
  markFrame();
}

function markFrame() {
  const op = app.frameOp(state.frame);
  svg.classList.toggle("stepping", op !== null);
  setOnly("current", new Set(op ? [app.elementOf(op.id)].filter(Boolean) : []));
  // Backward, an op is at work on the inputs that it hands a share to.
  const busy = op ? app.incoming[op.id].filter((e) => op.part === "forward" || edges[e].gradient)
    : [];
  setOnly("active", piecesOf(busy));
  svg.classList.toggle("backward", op?.part === "backward");
}

function showFrame() {
  for (const level of levels.values()) for (const drawn of level.links) showKnown(drawn);
  for (const element of content.querySelectorAll("[data-id], .group.folded")) {
    showNumbers(element);
  }
  markFrame();
  const op = app.frameOp(state.frame);
  if (op) bringIntoSight(op.id);
}

const lastFrame = new WeakMap(); // of a box: what stands apart while folded is brought up to date

/** Hide the numbers in a box that the present frame does not know. */
function showNumbers(element) {
  if ((lastFrame.get(element) ?? null) === state.frame) return;
  lastFrame.set(element, state.frame);
  const id = element.dataset.id !== undefined ? Number(element.dataset.id)
    : groups[Number(element.dataset.group)].output;
  if (id === undefined) return;
  const known = { value: app.knowsValue(id), gradient: app.knowsGradient(id) };
  for (const kind of ["value", "gradient"]) {
    for (const part of element.querySelectorAll(`.${kind}, .${kind}-bars, .${kind}-ink`)) {
      part.classList.toggle("unknown", !known[kind]);
    }
  }
}

function bringIntoSight(id) {
  const hidden = app.hiddenBy(id);
  const at = hidden === null ? app.placeOf("node", id) : app.placeOf("group", hidden);
  if (at) app.cameras.graph.show(at);
}

// ---------------------------------------------------------------------------- counts, for tests

const visible = (element) => !element.closest(".unknown");

app.counts = () => {
  const drawn = (selector) => [...content.querySelectorAll(selector)].filter(visible).length;
  return {
    nodes: nodes.length,
    edges: edges.length,
    values: drawn("text.value"),
    gradients: drawn("text.gradient"),
    boxes: drawn(".node, .group.folded"),
  };
};

// ---------------------------------------------------------------------------- start

app.start.graph = () => {
  document.getElementById("stage").prepend(svg);
  app.graphContent = content;
  const first = (layouts[0]?.columns ?? []).flat().find((key) => key[0] !== "b");
  app.graphBounds = () => {
    const { width, height, items } = levels.get(0).placed;
    return { width, height, start: items[first]?.y };
  };
  app.cameras.graph = app.makeCamera(svg, content, app.graphBounds);
  content.append(refresh(0).root);
  app.on("fold", refold);
  app.on("select", mark);
  app.on("highlight", mark);
  app.on("frame", showFrame);
  app.on("reveal", ({ node }) => bringIntoSight(node));
  app.cameras.graph.fit(0.55);
};
