// The panel beside the drawing: tabs, of which the first tells all that is known of the selection.
//
// Other files add tabs with app.addTab; the panel shows one at a time.  Selecting something in the
// drawing shows the details.  A link inside the panel selects too, but the list that it stands in
// stays, so that one can go on to its next entry.

const { el, nodes, edges, groups, data, state, format } = app;
const { exact, block, rough } = app.numbers;
const forward = data.forward ?? [];
const backward = data.backward ?? [];
const MOST_LINKS = 40; // of nodes listed at once; the rest is counted

// ---------------------------------------------------------------------------- tabs

const panel = document.getElementById("panel");
const bar = el("div", { class: "tabs", role: "tablist", "aria-label": "about the graph" });
const tabs = new Map();
let current = null;
let jumping = false;

/** Add a tab; `fill(page)` is called when it is first seen. */
app.addTab = (id, title, fill) => {
  const page = el("div", { class: "tab-page", role: "tabpanel", id: `tab-${id}`, hidden: true,
    "aria-labelledby": `tab-of-${id}`, tabindex: "-1" });
  const handle = el("button", { type: "button", role: "tab", id: `tab-of-${id}`,
    "aria-controls": page.id, "aria-selected": "false", tabindex: "-1",
    onclick: () => app.showTab(id) }, title);
  tabs.set(id, { id, page, handle, fill, seen: false });
  bar.append(handle);
  panel.append(page);
};

app.showTab = (id) => {
  const chosen = tabs.get(id);
  if (!chosen) return;
  for (const tab of tabs.values()) {
    tab.page.hidden = tab !== chosen;
    tab.handle.setAttribute("aria-selected", String(tab === chosen));
    tab.handle.tabIndex = tab === chosen ? 0 : -1;
  }
  current = chosen;
  if (!chosen.seen) {
    chosen.seen = true;
    chosen.fill(chosen.page);
  }
};

/** Show a tab that was asked for by a key, also where the panel is put away. */
app.openTab = (id) => {
  // The button knows whether the panel is shown: it is pressed rather than gone around.
  if (document.body.classList.contains("wide")) {
    document.querySelector('#bar [aria-label="show or hide the panel"]')?.click();
  }
  app.showTab(id);
};
app.currentTab = () => current?.id;

bar.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const all = [...tabs.values()];
  const next = all[(all.indexOf(current) + step + all.length) % all.length];
  app.showTab(next.id);
  next.handle.focus();
  event.preventDefault();
  event.stopPropagation();
});

// ---------------------------------------------------------------------------- links

/** Select a node and bring it into sight, but keep the tab that is open. */
app.jump = (id) => {
  jumping = true;
  app.reveal(id);
  jumping = false;
};

/** A link that selects a node and brings it into sight. */
app.nodeLink = (id, text) => el("button", { type: "button", class: "link", "data-node": id,
  title: where(nodes[id]), onclick: () => app.jump(id) }, text ?? app.nameOf(id));

const edgeLink = (e, text) => el("button", { type: "button", class: "link",
  onclick: () => app.selectEdge(e) }, text);

const kernelLink = (k) => el("button", { type: "button", class: "link", "data-kernel": k,
  title: kernelOf(k)?.what, onclick: () => showKernel(k) },
`k${k} ${clip(kernelOf(k)?.what ?? "")}`);

const clip = (text) => (text.length > 34 ? `${text.slice(0, 33)}…` : text);

function showKernel(k) {
  app.setMode("kernels");
  app.selectKernel(k);
}

const kernelOf = (k) => data.kernels?.list.find((kernel) => kernel.id === k);

function nodeLinks(given) {
  const ids = [...new Set(given)];
  const links = ids.slice(0, MOST_LINKS).map((id) => el("li", {}, app.nodeLink(id)));
  if (ids.length > MOST_LINKS) {
    links.push(el("li", { class: "faint" }, `and ${ids.length - MOST_LINKS} more`));
  }
  return el("ul", { class: "links" }, links);
}

/** `train.py:31`, or what there is of it. */
const where = (x) => (x.file ? `${x.file}${x.line ? `:${x.line}` : ""}` : "");

const section = (title, ...children) => el("section", {}, el("h3", {}, title), children);

/** Rows of a name and what it is; rows without content are left out. */
function facts(rows) {
  return el("dl", { class: "facts" }, rows
    .filter(([, content]) => content !== undefined && content !== null && content !== "")
    .flatMap(([name, content]) => [el("dt", {}, name), el("dd", {}, content)]));
}

function code(x) {
  if (!x.file) return null;
  if (!x.source) return el("p", { class: "trail" }, where(x));
  return el("div", { class: "code" }, el("span", { class: "faint" }, where(x)),
    el("code", {}, x.source));
}

// ---------------------------------------------------------------------------- a node

function nodePage(id) {
  const node = nodes[id];
  if (node.kind === "error") return errorPage(node);
  const operator = (node.inputs ?? []).length > 0;
  return [
    heading(node.name || (operator ? node.op : node.label || node.op), kindOf(node), `#${id}`),
    node.origin ? el("p", { class: "failure" }, node.origin) : null,
    trail(node), code(node),
    facts(nodeFacts(node)),
    values(node), gradients(node),
    operator ? chainRule(node) : null,
    users(node), kernelsOf(node), equations(id),
  ];
}

/** The operation that could not be recorded: what it was given, and why that does not fit. */
function errorPage(node) {
  const given = app.incoming[node.id].map((e) => nodes[edges[e].tail]);
  return [
    heading("Not recorded", "error", ""),
    el("p", { class: "failure" }, node.message ?? data.failure ?? ""),
    trail(node), code(node),
    section("It was given", el("ul", { class: "rows" }, given.map((x) => el("li",
      { class: "factor-head" }, app.nodeLink(x.id), el("span", {}, format.shape(x.shape)))))),
  ];
}

function heading(name, kind, small) {
  return el("header", {}, el("h2", {}, name),
    kind ? el("span", { class: `kind ${kind}` }, kind) : null,
    el("span", { class: "faint" }, small));
}

const kindOf = (node) => node.kind ?? "operator";

/** The groups around a node or a group, each a link. */
function trail(x) {
  const chain = app.chain(x.group ?? x.parent ?? 0).filter((gid) => gid !== 0);
  const path = el("span", { class: "faint path" }, x.path ?? "");
  if (!chain.length) return x.path ? el("p", { class: "trail" }, path) : null;
  const links = chain.flatMap((gid, i) => [i ? " › " : null,
    el("button", { type: "button", class: "link", onclick: () => app.selectGroup(gid) },
      groups[gid].label)]);
  return el("p", { class: "trail", title: x.path }, links);
}

function nodeFacts(node) {
  const attrs = Object.entries(node.attrs ?? {}).map(([k, v]) => [k, String(v)]);
  return [
    ["op", node.name && node.kind === "operator" ? node.op : null],
    ["shape", `${node.dtype ?? ""}  ${format.shape(node.shape)}`.trim()],
    ...attrs,
    ["memory", node.bytes === undefined ? null : format.bytes(node.bytes)],
    ["kept for", node.saved_for ? nodeLinks(node.saved_for) : null],
    ["time", node.us === undefined ? null
      : `${format.us(node.us)} alone${speed(node.flops, node.us)}`],
    ["work", node.flops ? format.flops(node.flops) : null],
    ["|grad| / |value|", node.ratio === undefined ? null : rough(node.ratio)],
  ];
}

const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

/** Of what takes no time worth measuring the speed means nothing. */
const speed = (flops, us) => (flops > 1e4 && us > 0
  ? `, ${rough(Number((flops / us / 1e3).toPrecision(3)))} GFLOP/s` : "");

function values(node) {
  if (!node.value) return null;
  if (!app.knowsValue(node.id)) return later("Value", "value", forward.indexOf(node.id));
  return section("Value", block(node.value, "value", node.dtype));
}

function gradients(node) {
  const title = `Gradient ∂${app.rules.output}/∂${app.rules.symbol(node.id)}`;
  if (!node.gradient) {
    if (!node.why && node.gradient_state === undefined) return null;
    return section("Gradient", el("p", { class: "none" }, el("strong", {}, "None. "),
      node.why ?? ""));
  }
  if (!app.knowsGradient(node.id)) return later(title, "gradient", app.wholeAt(node.id));
  const zero = node.gradient_state === "zero"
    ? el("p", { class: "none" }, "It arrives, and every element is zero.") : null;
  return section(title, zero, block(node.gradient, "gradient", node.dtype), shares(node));
}

/** Where several users hand a share, each of them: a gradient is their sum. */
function shares(node) {
  if (!app.rules.isSum(node.id)) return null;
  const items = app.outgoing[node.id].filter((e) => edges[e].gradient).map((e) => el("li", {},
    edgeLink(e, app.numbers.term(edges[e].gradient, "gradient")), " from ",
    app.nodeLink(edges[e].head)));
  return el("div", {}, el("p", { class: "faint" }, `the sum of ${items.length} shares:`),
    el("ul", { class: "rows" }, items.slice(0, MOST_LINKS)));
}

/** In the stepper a number that is not reached yet would give the answer away. */
function later(title, what, frame) {
  return section(title, el("p", { class: "none" }, `The ${what} is not known yet at this step. `,
    el("button", { type: "button", class: "link", onclick: () => app.setFrame(frame) },
      `Go to step ${frame + 1}`)));
}

/** Every input with its value and, where a gradient goes on, upstream × local = downstream. */
function chainRule(node) {
  const items = app.incoming[node.id].map((e) => el("li", {}, factors(e)));
  return section(node.gradient ? "Inputs, and the chain rule" : "Inputs",
    el("p", { class: "formula-line" }, app.knowsValue(node.id) ? app.rules.forward(node.id) : null),
    el("ul", { class: "factors" }, items));
}

function factors(e) {
  const edge = edges[e];
  const tail = nodes[edge.tail];
  const known = app.knowsValue(edge.tail) && tail.value;
  const head = el("div", { class: "factor-head" }, app.nodeLink(edge.tail), " ",
    known ? app.numbers.term(tail.value, "value") : null);
  if (!edge.gradient) return [head, el("p", { class: "faint small" }, whyNone(edge))];
  if (!app.knowsShare(e)) return [head, el("p", { class: "faint small" }, "not reached yet")];
  return [head, product(e)];
}

/** Why an edge carries no gradient: none comes from above, or none is asked for below. */
const whyNone = (edge) => nodes[edge.head].why ?? nodes[edge.tail].why
  ?? "The operator hands no gradient to this input.";

/** The product as a small table: what each factor is called, below it what it is. */
function product(e) {
  const share = app.rules.share(e);
  const [above, here] = share.factors;
  const sum = share.sum ? el("span", { class: "sign" }, "Σ ") : null;
  const rule = share.rule ? el("p", { class: "rule" }, share.rule) : null;
  const sign = (text) => el("td", { class: "sign" }, text.trim());
  const table = el("table", { class: "product" }, el("tbody", {},
    el("tr", {}, el("td", {}, above), sign(share.times), el("td", {}, here), sign(share.sign),
      el("td", {}, share.name)),
    el("tr", {}, el("td", {}, sum, share.upstream), sign(share.times),
      el("td", {}, share.local), sign(share.gives),
      el("td", {}, edgeLink(e, share.downstream)))));
  const note = share.sum ? el("p", { class: "faint small" },
    "summed over the axes along which this input was broadcast") : null;
  return el("div", {}, table, rule, note);
}

function users(node) {
  const ids = [...new Set(app.outgoing[node.id].map((e) => edges[e].head))];
  if (!ids.length) return null;
  return section(ids.length === 1 ? "User" : `Users (${ids.length})`, nodeLinks(ids));
}

function kernelsOf(node) {
  const holding = (part) => (data.kernels?.list ?? [])
    .filter((kernel) => kernel[part]?.includes(node.id)).map((kernel) => kernel.id);
  const [own, back] = [holding("nodes"), holding("backward")];
  if (!own.length && !back.length) return null;
  const list = (ids) => el("ul", { class: "links" }, ids.map((k) => el("li", {}, kernelLink(k))));
  return section("Kernels", facts([
    ["forward", own.length ? list(own) : null], ["backward", back.length ? list(back) : null],
  ]));
}

function equations(id) {
  const found = (data.equations ?? []).filter((equation) => equation.node === id);
  return found.length ? section("Equations", ...found.map((equation) =>
    el("p", { class: `equation ${equation.part}` }, equation.text))) : null;
}

// ---------------------------------------------------------------------------- edge, group, kernel

function edgePage(e) {
  const edge = edges[e];
  const [tail, head] = [nodes[edge.tail], nodes[edge.head]];
  const parts = [
    el("header", {}, el("h2", {}, app.nameOf(tail.id), " → ", app.nameOf(head.id)),
      el("span", { class: "kind" }, "edge")),
    el("p", { class: "trail" }, "from ", app.nodeLink(tail.id), " to input ", String(edge.index),
      " of ", app.nodeLink(head.id)),
  ];
  if (tail.value) parts.push(values(tail));
  if (!edge.gradient) {
    return [...parts, section("Gradient", el("p", { class: "none" },
      el("strong", {}, "None. "), whyNone(edge)))];
  }
  if (!app.knowsShare(e)) {
    return [...parts, later("Gradient", "share of the gradient",
      forward.length + backward.indexOf(edge.head))];
  }
  parts.push(section("Upstream × local = downstream", product(e)));
  parts.push(section("Upstream", block(head.gradient, "gradient", head.dtype)));
  if (edge.local) parts.push(section("Local", block(edge.local, "local", head.dtype)));
  parts.push(section("Downstream", block(edge.gradient, "gradient", tail.dtype)));
  return parts;
}

function groupPage(gid) {
  const group = groups[gid];
  const inside = app.inside(gid);
  const sum = (pick) => inside.reduce((total, id) => total + (pick(nodes[id]) || 0), 0);
  const open = state.open.has(gid);
  const output = nodes[group.output];
  return [
    heading(group.label, group.kind, group.times > 1 ? `× ${group.times}` : ""),
    trail({ group: group.parent ?? 0, path: group.path }), code(group),
    el("p", { class: "buttons" },
      el("button", { type: "button", onclick: () => app.setOpen(gid, !open) },
        open ? "Fold" : "Unfold"),
      group.children.length ? el("button", { type: "button",
        onclick: () => app.setOpen(below(gid), true) }, "Unfold all inside") : null),
    facts([
      ["nodes", String(inside.length)],
      ["parameters", group.parameters ? format.count(group.parameters) : null],
      ["memory", format.bytes(sum((n) => n.bytes))],
      ["kept for backward", format.bytes(sum((n) => (n.saved_for ? n.bytes : 0)))],
      ["time", sum((n) => n.us) ? `${format.us(sum((n) => n.us))}, gate by gate` : null],
      ["work", sum((n) => n.flops) ? format.flops(sum((n) => n.flops)) : null],
    ]),
    census(inside),
    output ? section("What leaves it", el("p", {}, app.nodeLink(output.id))) : null,
    output ? values(output) : null, output ? gradients(output) : null,
  ];
}

const below = (gid) => [gid, ...groups[gid].children.flatMap(below)];

/** How many nodes of each op, as small bars. */
function census(ids) {
  const count = new Map();
  for (const id of ids) {
    const name = nodes[id].kind === "operator" ? nodes[id].op : nodes[id].kind;
    count.set(name, (count.get(name) ?? 0) + 1);
  }
  const most = Math.max(...count.values());
  const rows = [...count].sort((a, b) => b[1] - a[1]).map(([name, n]) => ({
    label: name, text: String(n), share: n / most }));
  return section("Inside", bars(rows, "plain"));
}

/** A list of horizontal bars: rows of {label, text, share, node?, tip?}. */
function bars(rows, role) {
  return el("ul", { class: `bar-list role-${role}` }, rows.map((row) => el("li", { title: row.tip },
    el("span", { class: "bar-label" },
      row.node === undefined ? row.label : app.nodeLink(row.node, row.label)),
    el("span", { class: "bar-track" }, el("span", { class: "bar-fill",
      style: `width:${Math.max(1, 100 * row.share).toFixed(1)}%` })),
    el("span", { class: `bar-text${/nan|inf/.test(row.text) ? " alarm" : ""}` }, row.text))));
}

function kernelPage(k) {
  const kernel = kernelOf(k);
  if (!kernel) return overview();
  const { us, flops } = kernel;
  const moved = (kernel.read ?? 0) + (kernel.written ?? 0);
  const list = (lines) => (lines?.length
    ? el("ul", { class: "rows" }, lines.map((line) => el("li", {}, line))) : null);
  return [
    heading(`k${k}`, "kernel", kernel.kind), el("p", { class: "strong" }, kernel.what ?? ""),
    kernel.where ? el("p", { class: "faint" }, kernel.where) : null,
    facts([
      ["level", kernel.level === undefined ? null : String(kernel.level)],
      ["time", us === undefined ? null : `${format.us(us)}${speed(flops, us)}`],
      ["work", flops ? format.flops(flops) : null],
      ["read", kernel.read === undefined ? null : format.bytes(kernel.read)],
      ["written", kernel.written === undefined ? null : format.bytes(kernel.written)],
      ["moved", us && moved > 1e4 ? `${rough(moved / us / 1e3)} GB/s` : null],
      ["reads", list(kernel.reads)], ["writes", list(kernel.writes)],
    ]),
    kernel.nodes?.length ? section("Computes", nodeLinks(kernel.nodes)) : null,
    kernel.backward?.length
      ? section("Computes the gradients that these hand on", nodeLinks(kernel.backward)) : null,
  ];
}

// ---------------------------------------------------------------------------- the whole graph

function overview() {
  const loss = nodes[data.output];
  const size = (node) => node.shape.reduce((product, n) => product * n, 1);
  const count = (pick) => nodes.reduce((total, node) => total + (pick(node) || 0), 0);
  const kept = count((n) => (n.saved_for ? n.bytes : 0));
  const title = data.failure ? "The graph up to the failure" : data.title || "The graph";
  return [
    heading(title, "graph", ""),
    data.failure ? el("p", { class: "failure" }, data.failure) : null,
    data.note ? el("p", { class: "faint" }, data.note) : null,
    loss?.value && app.knowsValue(loss.id)
      ? section(app.nameOf(loss.id), block(loss.value, "value", loss.dtype)) : null,
    facts([
      ["nodes", String(nodes.length)], ["operators", String(forward.length)],
      ["edges", String(edges.length)],
      ["parameters", format.count(count((n) => (n.kind === "parameter" ? size(n) : 0)))],
      ["kept for backward", kept ? format.bytes(kept) : null],
      ["peak memory", app.memory?.peak ? format.bytes(app.memory.peak.bytes) : null],
      ["forward", count((n) => n.us) ? `${format.us(count((n) => n.us))}, gate by gate` : null],
      ["compiled", data.kernels?.us
        ? `${format.us(data.kernels.us)}, ${plural(data.kernels.list.length, "kernel")}` : null],
    ]),
    flow(),
    el("p", { class: "faint hint" }, "Click a node, an edge or a group to read its numbers. "
      + "Keys: ", el("kbd", {}, "?"), " help, ", el("kbd", {}, "/"), " search, ",
    el("kbd", {}, "."), " step."),
  ];
}

/** Of a long name the end: `…4.mlp.2.weight` tells more than the path that all share. */
const ending = (name) => (name.length > 18 ? `…${name.slice(-16)}` : name);

/** The gradient norm of every parameter on a log scale: where it vanishes, where it explodes. */
function flow() {
  const found = nodes.filter((n) => !n.inputs?.length && n.gradient && app.knowsGradient(n.id));
  if (!found.length) return null;
  const norm = (n) => app.float(n.gradient.norm) ?? 0;
  const sizes = found.map(norm).filter((v) => v > 0 && Number.isFinite(v));
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)].map(Math.log10);
  // Two decades of room below keep a small difference from looking like a large one.
  const scale = (v) => (v > 0 ? (Math.log10(v) - low + 1) / (high - low + 1) : 0);
  const row = (n) => ({
    label: ending(app.nameOf(n.id)), text: rough(Number(norm(n).toPrecision(3))),
    share: Number.isFinite(norm(n)) ? scale(norm(n)) : 1, node: n.id,
    tip: app.nameOf(n.id)
      + (n.ratio === undefined ? "" : `, |gradient| / |value| = ${rough(n.ratio)}`) });
  const many = found.length > 20;
  const sorted = many ? [...found].sort((a, b) => norm(b) - norm(a)) : found;
  const title = "Gradient norms, log scale";
  if (!many) return section(title, bars(sorted.map(row), "gradient"));
  return section(title, el("p", { class: "faint small" }, `the largest 8 of ${found.length}`),
    bars(sorted.slice(0, 8).map(row), "gradient"),
    el("p", { class: "faint small" }, "the smallest 8"),
    bars(sorted.slice(-8).map(row), "gradient"));
}

// ---------------------------------------------------------------------------- which page

function render() {
  const details = tabs.get("details");
  const { selected, selectedEdge, selectedGroup, selectedKernel } = state;
  const parts = selected !== null ? nodePage(selected)
    : selectedEdge !== null ? edgePage(selectedEdge)
      : selectedGroup !== null ? groupPage(selectedGroup)
        : selectedKernel !== null ? kernelPage(selectedKernel) : overview();
  details.page.replaceChildren(...parts.flat().filter(Boolean));
}

/** The first frame at which a node's gradient is whole. */
app.wholeAt = (id) => {
  const users = app.outgoing[id].filter((e) => edges[e].gradient).map((e) => edges[e].head);
  const passed = users.map((head) => forward.length + backward.indexOf(head));
  return Math.max(forward.length, ...passed);
};

app.start.panel = () => {
  panel.prepend(bar);
  app.addTab("details", "Details", render);
  app.showTab("details");
  app.on("select", () => {
    render();
    tabs.get("details").page.scrollTop = 0;
    const chosen = ["selected", "selectedEdge", "selectedGroup", "selectedKernel"]
      .some((name) => state[name] !== null);
    if (chosen && !jumping) app.showTab("details");
  });
  app.on("frame", render);
  app.on("fold", () => { if (state.selectedGroup !== null) render(); });
};
