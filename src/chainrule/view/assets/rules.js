// The chain rule written out: `z = x × w = 2.00 × -1.00 = -2.00` on the way forward, and for every
// input `∂f/∂x = ∂f/∂z × ∂z/∂x = 1.00 × -0.53 = -0.53` on the way back.

const { el, nodes, edges, data } = app;
const { term } = app.numbers;

const INFIX = {
  add: "+", sub: "−", mul: "×", div: "÷", pow: "^", matmul: "@",
  eq: "=", ne: "≠", lt: "<", le: "≤", gt: ">", ge: "≥",
};
const MOST_OPERANDS = 4;
const MOST_ATTRIBUTE = 24; // characters; what is longer stands in the panel

// What the equations call the values that the user has not named: `h1 = ...` names a node h1.
const called = new Map();
for (const { text, part, node } of data.equations ?? []) {
  const name = text.split(" = ")[0];
  if (part === "forward" && node !== undefined && /^[\p{L}\p{N}_.]+$/u.test(name)) {
    called.set(node, name);
  }
}

/** What stands for a node in a formula: its name, a constant's number, or `v₁₂`. */
function symbol(id) {
  const node = nodes[id];
  if (!node) return "L";
  if (node.kind === "constant" && node.label) return node.label;
  return node.name || called.get(id) || (id === data.output ? "L" : `v${subscript(id)}`);
}

const subscript = (n) => [...String(n)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");

app.rules = { symbol, output: symbol(data.output), forward, backward, share, isSum };

/** The symbol as a link: what `v₁₂` is shows on hovering. */
function named(id) {
  if (nodes[id].kind === "constant") return el("span", { class: "term" }, symbol(id));
  const link = app.nodeLink(id, symbol(id));
  link.classList.add("name");
  link.title = app.nameOf(id);
  return link;
}

const partial = (of, by) => el("span", { class: "partial",
  title: `how much ${app.nameOf(of)} grows with ${app.nameOf(by)}` },
`∂${symbol(of)}/∂${symbol(by)}`);

const isNumber = (array) => array?.number !== undefined;

/** Of arrays only norms are written, and norms are not equal to what is done with norms. */
const norms = (...parts) => el("span", { class: "norms",
  title: "the arrays are computed with; their norms are only what can be written here" },
el("span", { class: "faint" }, " norms "), parts.flat());

/** `z = x × w = 2.00 × -1.00 = -2.00`, as a line of elements. */
function forward(id) {
  const node = nodes[id];
  const values = (i) => term(nodes[node.inputs[i]].value, "value");
  if (![...node.inputs.map((i) => nodes[i]), node].every((x) => isNumber(x.value))) {
    const given = node.inputs.slice(0, MOST_OPERANDS).flatMap((_, i) => [i ? ", " : null, values(i)]);
    return el("span", { class: "formula" }, named(id), " = ",
      expression(node, (i) => named(node.inputs[i])),
      norms(given, " → ", term(node.value, "value")));
  }
  const repeated = node.inputs.every((i) => nodes[i].kind === "constant");
  return el("span", { class: "formula" },
    named(id), " = ",
    repeated ? null : [...expression(node, (i) => named(node.inputs[i])), " = "],
    expression(node, values), " = ", term(node.value, "value"));
}

/** What an operator computes, with `operand(i)` for its i-th input. */
function expression(node, operand) {
  const inputs = node.inputs ?? [];
  if (inputs.length === 2) {
    const sign = INFIX[node.op] ?? (node.label === "@" ? "@" : null);
    if (sign) return [operand(0), ` ${sign} `, operand(1)];
    if (node.label === "x yᵀ") return [operand(0), " ", operand(1), "ᵀ"];
  }
  if (inputs.length === 1) {
    if (node.op === "neg") return ["−", ...bracketed(operand(0))];
    if (node.op === "reciprocal") return ["1 / ", ...bracketed(operand(0))];
    if (node.op === "power") {
      return [...bracketed(operand(0)), el("sup", {}, node.attrs?.exponent ?? node.label.slice(1))];
    }
  }
  return call(node, inputs, operand);
}

/** A negative number under a sign of its own needs brackets. */
function bracketed(operand) {
  return /^[-−]/.test(operand.textContent) ? ["(", operand, ")"] : [operand];
}

function call(node, inputs, operand) {
  const name = /->/.test(node.label ?? "") ? node.label : node.op; // `ij,jk->ik` says more
  const parts = inputs.slice(0, MOST_OPERANDS).flatMap((_, i) => [i ? ", " : null, operand(i)]);
  if (inputs.length > MOST_OPERANDS) parts.push(`, … ${inputs.length} in all`);
  const attrs = Object.entries(node.attrs ?? {})
    .map(([name, value]) => `, ${name}=${value}`)
    .filter((text) => text.length <= MOST_ATTRIBUTE);
  const attributes = attrs.length ? el("span", { class: "faint" }, attrs.slice(0, 2)) : null;
  return [`${name}(`, ...parts, attributes, ")"];
}

/** Whether several users hand shares of a node's gradient, so that one alone is not all of it. */
function isSum(id) {
  return app.outgoing[id].filter((e) => edges[e].gradient).length > 1;
}

/**
 * The three factors of an edge, as elements: {name, sign, upstream, local, downstream, product}.
 *
 * Of an elementwise op the local derivative is an array of the op's shape, multiplied element by
 * element; where an input was broadcast the products are summed over the axes it was spread along.
 * The other ops multiply with a Jacobian, which nobody writes out: their formula stands instead.
 */
function share(e) {
  const edge = edges[e];
  const head = nodes[edge.head];
  const tail = nodes[edge.tail];
  const size = (shape) => shape.reduce((product, n) => product * n, 1);
  const spread = size(tail.shape) < size(head.shape);
  const scalar = size(head.shape) === 1 && size(tail.shape) === 1;
  const local = edge.local && size(edge.local.shape) === size(head.shape) ? edge.local : null;
  const total = edges[e].gradient && isSum(edge.tail);
  return {
    name: el("span", { class: "role-gradient" }, partial(data.output, edge.tail)),
    sign: total ? " += " : " = ",
    upstream: term(head.gradient, "gradient"),
    local: local ? term(local, "local") : unwritten(edge),
    elementwise: Boolean(edge.local),
    downstream: term(edge.gradient, "gradient"),
    times: !edge.local ? " · " : scalar ? " × " : " ⊙ ",
    gives: scalar ? (total ? " += " : " = ") : " → ",
    scalar,
    sum: Boolean(edge.local) && spread,
    factors: [partial(data.output, edge.head), partial(edge.head, edge.tail)],
    rule: head.rules?.[String(edge.index)],
  };
}

/** What stands for a factor that is not an array of the op's own shape. */
function unwritten(edge) {
  const what = edge.local ? "the local derivative, spread along the axes of the broadcast"
    : "the Jacobian, which is never formed: the op knows its product with what comes from above";
  return el("span", { class: "faint", title: what }, edge.local ? "…" : "J");
}

/** `∂f/∂x = ∂f/∂z × ∂z/∂x = 1.00 × -0.53 = -0.53`, as a line of elements, without the rule. */
function backward(e) {
  const found = share(e);
  const [above, here] = found.factors;
  const sum = found.sum ? "Σ " : null;
  const numbers = [sum, found.upstream, found.times, found.local];
  return el("span", { class: "formula" },
    found.name, found.sign, sum, above, found.times, here,
    found.scalar ? [" = ", ...numbers, " = ", found.downstream]
      : norms(numbers, " → ", found.downstream));
}
