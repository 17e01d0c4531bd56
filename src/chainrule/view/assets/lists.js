// Tabs beside the details: equations, findings, search, the graph as a program, help.
//
// Every entry is a link to a node.  Long lists grow as one scrolls down: a page of five thousand
// rows would cost more than the drawing.

const { el, nodes, data, state, format } = app;
const CHUNK = 200;

/** A list of `count` rows that are made when they come into sight; {root, ensure(i)}. */
function longList(count, row, attrs) {
  const root = el("ol", { class: "long-list", ...attrs });
  const end = el("li", { class: "more", "aria-hidden": "true" });
  let made = 0;
  const grow = (to) => {
    const rows = [];
    for (; made < Math.min(to, count); made += 1) rows.push(row(made));
    end.before(...rows);
    if (made >= count) end.remove();
  };
  root.append(end);
  grow(CHUNK);
  new IntersectionObserver((seen) => {
    if (seen.some((entry) => entry.isIntersecting)) grow(made + CHUNK);
  }, { rootMargin: "600px" }).observe(end);
  return { root, ensure: (i) => { if (i >= made) grow(i + CHUNK); } };
}

const place = (node) => (node.file ? `${node.file.split("/").at(-1)}:${node.line}` : "");

/** A row that goes to a node, by hand or by key; without a node, only text. */
const rowOf = (id, ...children) => (id === undefined
  ? el("li", {}, el("span", { class: "row" }, children))
  : el("li", { "data-row": id }, el("button", { type: "button", class: "row",
    onclick: () => app.jump(id) }, children)));

/** Mark the rows of what is selected, in all lists. */
function markRows() {
  const panel = document.getElementById("panel");
  for (const row of panel.querySelectorAll("[data-row].current")) row.classList.remove("current");
  if (state.selected === null) return;
  const rows = panel.querySelectorAll(`[data-row="${state.selected}"]`);
  for (const row of rows) row.classList.add("current");
}

// ---------------------------------------------------------------------------- equations

const TITLES = { forward: "Forward", local: "Local derivatives", backward: "Backward" };

function equations(page) {
  const all = data.equations;
  for (const part of ["forward", "local", "backward"]) {
    const some = all.filter((equation) => equation.part === part);
    if (!some.length) continue;
    const list = longList(some.length, (i) => rowOf(some[i].node,
      el("span", { class: `equation ${part}` }, some[i].text)));
    page.append(el("section", {}, el("h3", {}, TITLES[part], copyButton(some)), list.root));
  }
  markRows();
}

function copyButton(some) {
  const button = el("button", { type: "button", class: "copy",
    onclick: async () => {
      await copy(latexOf(some));
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy LaTeX"; }, 1500);
    } }, "copy LaTeX");
  return button;
}

function latexOf(some) {
  const lines = some.map((equation) => equation.latex).filter(Boolean);
  const name = lines.some((line) => line.includes("&")) ? "align*" : "gather*";
  return `\\begin{${name}}\n${lines.join(" \\\\\n")}\n\\end{${name}}\n`;
}

/** A page opened from a file may have no clipboard of its own; a selected text always can. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const box = el("textarea", { class: "copied" });
    box.value = text;
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }
}

// ---------------------------------------------------------------------------- findings

function findings(page) {
  if (!data.findings.length) page.append(el("p", { class: "faint" }, "The linter found nothing."));
  page.append(el("ul", { class: "findings" }, data.findings.map(finding)));
}

function finding(found) {
  const ids = found.nodes ?? [];
  const show = () => {
    if (ids.length) app.jump(ids[0]);
    app.setHighlight(ids);
  };
  return el("li", { class: "finding" },
    el("button", { type: "button", class: "row", onclick: show },
      el("strong", {}, found.what), el("span", { class: "faint" }, found.where)),
    found.why ? el("p", {}, found.why) : null,
    found.fix ? el("p", { class: "fix" }, el("span", { class: "faint" }, "instead: "), found.fix)
      : null,
    el("p", { class: "small faint" }, found.rule, ids.length ? ": " : null,
      ids.flatMap((id, i) => [i ? ", " : null, app.nodeLink(id)])));
}

// ---------------------------------------------------------------------------- search

const search = { input: null, found: [], at: -1, list: null, count: null, page: null };
let haystack = null;

/** All that a node can be found by, in small letters. */
function textOf(node) {
  const sizes = node.shape ?? [];
  const shapes = sizes.length ? [sizes.join("x"), sizes.join("×"), `[${sizes.join(", ")}]`,
    `[${sizes.join(",")}]`] : ["scalar"];
  return [node.name, node.op, node.label, node.kind, node.path, node.source, node.dtype,
    node.file && `${node.file}:${node.line}`, `%${node.id} #${node.id}`, ...shapes]
    .filter(Boolean).join("\n").toLowerCase();
}

/** The ids of the nodes that every word of a text is found in. */
app.search = (text) => {
  haystack ??= nodes.map(textOf);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  // A node's number is meant whole: %1 does not ask for %12.
  const holds = (hay, word) => (/^[%#]\d+$/.test(word)
    ? hay.split(/\s/).includes(word) : hay.includes(word));
  return nodes.map((node) => node.id).filter((id) =>
    words.every((word) => holds(haystack[id], word)));
};

function searchPage(page) {
  search.page = page;
  search.input = el("input", { type: "search", class: "search", spellcheck: "false",
    placeholder: "name, op, module, code, train.py:31, 64x10", "aria-label": "search the graph",
    oninput: find });
  search.input.addEventListener("keydown", searchKey);
  search.count = el("p", { class: "faint small", role: "status" });
  page.append(search.input, search.count);
}

function searchKey(event) {
  if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
  else if (event.key === "ArrowDown") go(1);
  else if (event.key === "ArrowUp") go(-1);
  else if (event.key === "Escape") search.input.blur();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function find() {
  search.found = app.search(search.input.value);
  search.at = -1;
  search.list?.root.remove();
  search.list = longList(search.found.length, (i) => found(search.found[i]));
  search.page.append(search.list.root);
  const asked = search.input.value.trim();
  const n = search.found.length;
  search.count.textContent = !asked ? ""
    : n ? `${n} of ${nodes.length} nodes; Enter for the next, then n and N` : "nothing found";
  app.setHighlight(search.found);
}

function found(id) {
  const node = nodes[id];
  const name = node.name ? `${node.name} ` : "";
  return rowOf(id,
    el("span", {}, el("strong", {}, name), node.kind === "operator" ? node.op : node.kind,
      el("span", { class: "faint" }, ` #${id}`)),
    el("span", { class: "faint" }, format.shape(node.shape)),
    el("code", { class: "faint" }, place(node), "  ", node.source ?? ""));
}

/** Go to the next or the previous node found, around the end. */
function go(step) {
  const n = search.found.length;
  if (!n) return;
  search.at = search.at < 0 ? (step > 0 ? 0 : n - 1) : (search.at + step + n) % n;
  search.list.ensure(search.at);
  app.jump(search.found[search.at]);
  search.count.textContent = `${search.at + 1} of ${n}`;
  search.list.root.children[search.at]?.scrollIntoView({ block: "nearest" });
}

function openSearch() {
  app.openTab("search");
  search.input.focus();
  search.input.select();
}

// ---------------------------------------------------------------------------- program

let programList = null;

function program(page) {
  programList = longList(nodes.length, (i) => line(nodes[i]));
  page.append(el("p", { class: "faint small" }, "one node a line, inputs before users"),
    programList.root);
  followProgram();
}

/** `%12 h = tanh(%11)`, and below it dtype, shape, value and line of code. */
function line(node) {
  const inputs = (node.inputs ?? []).map((i) => `%${i}`);
  const attrs = Object.entries(node.attrs ?? {}).map(([name, value]) => `${name}=${value}`);
  const call = inputs.length ? `${node.op}(${[...inputs, ...attrs].join(", ")})`
    : node.requires_grad ? "leaf*" : "leaf";
  return rowOf(node.id,
    el("code", {}, el("span", { class: "faint" }, `%${node.id} `), node.name ?? "",
      node.name ? " = " : "= ", call),
    el("span", { class: "faint small" }, `${node.dtype ?? ""} ${format.shape(node.shape)}  `,
      node.value ? el("span", { class: "role-value" }, app.numbers.text(node.value)) : null,
      `  ${place(node)}`));
}

/** Keep the line of the selected node in sight. */
function followProgram() {
  if (state.selected !== null && programList && app.currentTab() === "program") {
    programList.ensure(state.selected);
    programList.root.children[state.selected]?.scrollIntoView({ block: "nearest" });
  }
  markRows();
}

// ---------------------------------------------------------------------------- help

function help(page) {
  const keys = app.keys.map(({ keys: names, text }) => [
    el("dt", {}, names.flatMap((key, i) => [i ? " " : null,
      el("kbd", {}, KEY_SIGNS[key] ?? key)])), el("dd", {}, text)]);
  page.append(
    el("section", {}, el("h3", {}, "What is what"), el("dl", { class: "help-signs" },
      SIGNS.flatMap(([sign, text]) => [el("dt", {}, sign()), el("dd", {}, text)]))),
    el("section", {}, el("h3", {}, "Keys"), el("dl", { class: "help-keys" }, keys.flat())),
  );
}

const KEY_SIGNS = { " ": "space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };

const drawn = (...children) => app.svgEl("svg", { viewBox: "0 0 40 22", class: "sign",
  "aria-hidden": "true" }, children);
const shape = (tag, attrs) => app.svgEl(tag, attrs);
const square = (kind) => () => drawn(shape("rect", { x: 9, y: 2, width: 22, height: 18, rx: 3,
  class: `help-${kind}` }));
const number = (role, text) => () => el("span", { class: `term role-${role}` }, text);

const SIGNS = [
  [square("data"), "a square is a variable: data"],
  [square("parameter"), "a parameter, which is trained"],
  [() => drawn(shape("circle", { cx: 20, cy: 11, r: 9, class: "help-operator" })),
    "a circle is an operator"],
  [square("folded"), "a folded group: many nodes in one box; a click on its sign unfolds it"],
  [number("value", "0.73"), "a value, on the way forward"],
  [number("gradient", "-0.53"), "a gradient, on the way back: upstream × local = downstream"],
  [number("value", "‖4.20‖"), "the norm of an array: the root of the sum of its squares"],
  [() => drawn(shape("line", { x1: 3, x2: 37, y1: 11, y2: 11, class: "help-none" })),
    "no gradient flows here; the details say why"],
];

app.start.lists = () => {
  if (data.equations) app.addTab("equations", "Equations", equations);
  if (data.findings) {
    app.addTab("findings", `Findings ${data.findings.length}`, findings);
  }
  app.addTab("search", "Search", searchPage);
  app.addTab("program", "Program", program);
  app.addTab("help", "?", help);
  app.key("/", "search: name, op, module, code, line, shape", openSearch);
  app.key("n", "search: the next found", () => go(1));
  app.key("N", "search: the one before", () => go(-1));
  app.key("?", "this help", () => app.openTab("help"));
  app.on("select", followProgram);
};
