// Pointing and walking: clicks, and keys that go along the edges from box to box.

const { nodes, edges, groups, state } = app;
const content = () => app.graphContent;

// ---------------------------------------------------------------------------- boxes that are drawn

/** The box that shows a node: {kind: "node"|"group", id}. */
const boxOf = (id) => {
  const hidden = app.hiddenBy(id);
  return hidden === null ? { kind: "node", id } : { kind: "group", id: hidden };
};
const elementOf = ({ kind, id }) =>
  (kind === "node" ? app.elementOf(id) : app.elementOfGroup(id));

/** The box that is selected, or null. */
function here() {
  if (state.selected !== null) return boxOf(state.selected);
  if (state.selectedGroup) {
    const gid = app.chain(state.selectedGroup).find((g) => !state.open.has(g));
    return { kind: "group", id: gid ?? state.selectedGroup };
  }
  if (state.selectedEdge !== null) return boxOf(edges[state.selectedEdge].tail);
  return null;
}

function goTo(box) {
  if (!box) return;
  if (box.kind === "node") app.select(box.id);
  else app.selectGroup(box.id);
  const at = app.placeOf(box.kind, box.id);
  if (at) app.cameras.graph.show(at);
  elementOf(box)?.focus({ preventScroll: true });
  app.announce(box.kind === "node" ? app.sayNode(box.id) : app.sayGroup(box.id));
}

// ---------------------------------------------------------------------------- neighbours

/** The boxes from which edges come to a box, or to which they go, from top to bottom. */
function neighbours(box, side) {
  const inside = box.kind === "node" ? [box.id] : app.inside(box.id);
  const own = new Set(inside);
  const found = new Map();
  for (const id of inside) {
    for (const e of side === "left" ? app.incoming[id] : app.outgoing[id]) {
      const other = side === "left" ? edges[e].tail : edges[e].head;
      if (own.has(other)) continue;
      const next = boxOf(other);
      found.set(`${next.kind}${next.id}`, next);
    }
  }
  return [...found.values()];
}

const distance = (a, b) => Math.abs(a.y - b.y) + 0.05 * Math.abs(a.x - b.x);

function across(side) {
  const { selectedEdge } = state;
  if (selectedEdge !== null) {
    const { tail, head } = edges[selectedEdge];
    return goTo(boxOf(side === "left" ? tail : head));
  }
  const box = here();
  if (!box) return goTo(boxOf(app.data.output ?? nodes.length - 1));
  const from = app.placeOf(box.kind, box.id);
  const all = neighbours(box, side).map((b) => [b, app.placeOf(b.kind, b.id)]).filter(([, p]) => p);
  all.sort(([, a], [, b]) => distance(a, from) - distance(b, from));
  return goTo(all[0]?.[0]);
}

/** From a node to the edges on one side of it, from an edge to the next one of the same node. */
function toEdge(side) {
  const [end, list] = side === "left" ? ["head", app.incoming] : ["tail", app.outgoing];
  const { selectedEdge } = state;
  const id = selectedEdge !== null ? edges[selectedEdge][end] : state.selected;
  const all = id === null ? [] : list[id].filter((e) => app.elementOfEdge(e));
  if (!all.length) return;
  const next = all[(all.indexOf(selectedEdge) + 1) % all.length];
  app.selectEdge(next);
  const element = app.elementOfEdge(next);
  element.focus({ preventScroll: true });
  app.announce(element.getAttribute("aria-label"));
}

/** The next box above or below: among those of the same group, the same column first. */
function along(direction) {
  const box = here();
  if (!box) return across("left");
  const from = app.placeOf(box.kind, box.id);
  const gid = box.kind === "node" ? nodes[box.id].group ?? 0 : groups[box.id].parent ?? 0;
  const siblings = [
    ...groups[gid].members.map((id) => ({ kind: "node", id })),
    ...groups[gid].children.map((id) => ({ kind: "group", id })),
  ].map((b) => [b, app.placeOf(b.kind, b.id)]);
  const ahead = siblings.filter(([, p]) => p && direction * (p.y - from.y) > 0.5);
  const far = ([, p]) => Math.abs(p.y - from.y) + 4 * Math.abs(p.x - from.x);
  ahead.sort((a, b) => far(a) - far(b));
  return goTo(ahead[0]?.[0]);
}

// ---------------------------------------------------------------------------- folding

function toggleGroup(gid) {
  const focused = content().contains(document.activeElement);
  app.setOpen(gid, !state.open.has(gid));
  app.selectGroup(gid);
  if (focused) app.elementOfGroup(gid)?.focus({ preventScroll: true });
  app.announce(app.sayGroup(gid));
}

/** Enter: unfold what is folded; fold what is open, or what is around a node. */
function toggleHere() {
  const box = here();
  if (!box) return false;
  const gid = box.kind === "group" ? box.id : nodes[box.id].group ?? 0;
  if (gid) toggleGroup(gid);
  return undefined;
}

app.unfoldLevel = () => app.setOpen(
  groups.filter((g) => !state.open.has(g.id) && app.isDrawn(g.id)).map((g) => g.id), true);

app.foldLevel = () => app.setOpen(
  groups.filter((g) => state.open.has(g.id) && app.isDrawn(g.id)
    && !g.children.some((c) => state.open.has(c))).map((g) => g.id), false);

// ---------------------------------------------------------------------------- pointing

const number = (element, name) => Number(element.dataset[name]);

function click(event) {
  const at = (selector) => event.target.closest(selector);
  if (at(".toggle")) toggleGroup(number(at(".group"), "group"));
  else if (at(".node")) app.select(number(at(".node"), "id"));
  else if (at(".link")) app.selectEdge(Number(at(".link").dataset.edges.split(",")[0]));
  else if (at(".group.folded")) app.selectGroup(number(at(".group"), "group"));
  else if (at(".title")) app.selectGroup(number(at(".group"), "group"));
  else app.select(null);
}

function doubleClick(event) {
  const group = event.target.closest(".group");
  if (!group || event.target.closest(".node, .link, .toggle")) return;
  event.preventDefault();
  toggleGroup(number(group, "group"));
}

/** What a box is, as the browser's own tip; written when it is about to be read. */
function tip(event) {
  const element = event.target.closest(".node, .group");
  if (!element) return;
  let title = element.querySelector(":scope > title");
  if (!title) element.prepend((title = app.svgEl("title")));
  const node = element.dataset.id;
  const text = node === undefined ? app.sayGroup(number(element, "group")) : describe(Number(node));
  if (title.textContent !== text) title.textContent = text;
}

function describe(id) {
  const node = nodes[id];
  const where = node.file ? `${node.file}:${node.line ?? "?"}  ${node.source ?? ""}`.trim() : "";
  return [app.sayNode(id).replaceAll("; ", "\n"), node.path, where].filter(Boolean).join("\n");
}

app.start.walk = () => {
  const svg = content().parentNode;
  svg.addEventListener("click", click);
  svg.addEventListener("dblclick", doubleClick);
  svg.addEventListener("pointerover", tip);
  const graph = (run) => (event) => (state.mode === "graph" ? run(event) : false);
  const sideways = (side) => graph((event) => (event.shiftKey ? toEdge : across)(side));
  app.key("ArrowLeft", "to an input; with Shift to the edges from the inputs", sideways("left"));
  app.key("ArrowRight", "to a user; with Shift to the edges to the users", sideways("right"));
  app.key("ArrowUp", "to the box above", graph(() => along(-1)));
  app.key("ArrowDown", "to the box below", graph(() => along(1)));
  app.key(["Enter", " "], "unfold or fold the selection", graph(toggleHere));
  app.key("e", "unfold one level", graph(app.unfoldLevel));
  app.key("E", "fold one level", graph(app.foldLevel));
  app.key("Escape", "clear the selection", () => {
    app.select(null);
    app.setHighlight([]);
    if (content().contains(document.activeElement)) svg.focus({ preventScroll: true });
  });
};
