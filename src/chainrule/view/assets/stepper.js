// The step gate by gate: forward in the order in which the operators ran, then backward in exactly
// the reverse order.  Frame k is the state after k + 1 of them; core.js knows what is known then.

const { el, nodes, edges, data, state } = app;
const forward = data.forward ?? [];
const backward = data.backward ?? [];
const last = app.frames - 1;
const SPEEDS = [0.5, 1, 2, 4, 8];
const PAUSE = 1100; // milliseconds between two steps at speed 1: long enough to read one line

let timer = null;
let speed = 1;
const parts = {};

// ---------------------------------------------------------------------------- what is known

/** The present frame in sets: {k, phase, gate, known, gradients, shares}. */
app.frame = () => {
  const ids = nodes.map((node) => node.id);
  const shown = (edge) => edge.gradient && app.knowsShare(edge.id);
  const op = app.frameOp(state.frame);
  const started = state.frame === null || op.part === "backward";
  return {
    k: state.frame,
    phase: op ? op.part : "all",
    gate: op ? op.id : null,
    known: ids.filter(app.knowsValue),
    gradients: started ? ids.filter((id) => nodes[id].gradient && app.knowsGradient(id)) : [],
    shares: started ? edges.filter(shown).map((edge) => edge.id) : [],
  };
};

// ---------------------------------------------------------------------------- moving

function go(k) {
  stop();
  app.setFrame(k);
}

// Outside of the stepper everything is known: the first step starts at the beginning, a step back
// at the end.
const next = () => go(state.frame === null ? 0 : Math.min(last, state.frame + 1));
const previous = () => go(state.frame === null ? last : Math.max(0, state.frame - 1));

function stop() {
  clearInterval(timer);
  timer = null;
  showPlaying();
}

function play() {
  if (timer !== null) {
    stop();
    return;
  }
  if (state.frame === null || state.frame === last) app.setFrame(0);
  timer = setInterval(tick, PAUSE / speed);
  showPlaying();
}

function tick() {
  if (state.frame === null) return stop();
  app.setFrame(state.frame + 1);
  return state.frame === last ? stop() : undefined;
}

function setSpeed(value) {
  speed = value;
  if (timer === null) return;
  clearInterval(timer);
  timer = setInterval(tick, PAUSE / speed);
}

function showPlaying() {
  const playing = timer !== null;
  parts.play.replaceChildren(icon(playing ? "pause" : "play"));
  const label = playing ? "pause (p)" : "play (p, or space)";
  parts.play.setAttribute("aria-label", label);
  parts.play.title = label;
  parts.play.setAttribute("aria-pressed", String(playing));
}

// ---------------------------------------------------------------------------- the caption

function caption() {
  const op = app.frameOp(state.frame);
  if (!op) {
    const back = backward.length ? ` and ${backward.length} backward` : "";
    return [el("span", { class: "faint" },
      `Everything is shown. Step through ${forward.length} operators forward${back}: `,
      el("kbd", {}, "."), " next, ", el("kbd", {}, "p"), " play.")];
  }
  return op.part === "forward" ? [app.rules.forward(op.id)] : backwardCaption(op.id);
}

function backwardCaption(id) {
  const shares = app.incoming[id].filter((e) => edges[e].gradient);
  if (!shares.length) return [el("span", { class: "faint" }, "It hands no gradient on.")];
  return shares.map((e) => el("span", { class: "handed" }, app.rules.backward(e), whole(e),
    rule(e)));
}

/** Of a sum that this share completes: what it has come to. */
function whole(e) {
  const tail = nodes[edges[e].tail];
  if (!app.rules.isSum(tail.id) || !app.knowsGradient(tail.id) || !tail.gradient) return null;
  return el("span", { class: "whole" }, " in all ", app.numbers.term(tail.gradient, "gradient"));
}

function rule(e) {
  const text = app.rules.share(e).rule;
  return text ? el("span", { class: "rule" }, text) : null;
}

// ---------------------------------------------------------------------------- drawing

const ICONS = {
  first: "M3 3v10M13 3 6 8l7 5z", previous: "M11 3 4 8l7 5z", play: "M5 3l8 5-8 5z",
  pause: "M5 3v10M11 3v10", next: "M5 3l7 5-7 5z", last: "M13 3v10M3 3l7 5-7 5z",
};
const icon = (name) => app.svgEl("svg",
  { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" },
  app.svgEl("path", { d: ICONS[name] }));

function controls() {
  const button = (name, label, run) => app.button(icon(name), label, run);
  parts.play = button("play", "play (p, or space)", play);
  parts.off = app.button("All", "leave the stepper, show everything", () => go(null));
  parts.speed = el("select", { "aria-label": "speed", title: "speed",
    onchange: (event) => setSpeed(Number(event.target.value)) },
  SPEEDS.map((s) => el("option", { value: s, selected: s === 1 }, `×${s}`)));
  return el("div", { class: "controls" }, el("span", { class: "group-of-buttons" },
    button("first", "first step (Home)", () => go(0)),
    button("previous", "one step back (,)", previous), parts.play,
    button("next", "one step on (.)", next), button("last", "last step (End)", () => go(last))),
  parts.speed, parts.off);
}

function track() {
  const share = (100 * forward.length / app.frames).toFixed(2);
  parts.slider = el("input", { type: "range", min: 0, max: last, value: last, step: 1,
    "aria-label": "step", style: `--boundary:${share}%`,
    oninput: (event) => go(Number(event.target.value)) });
  // The keys of the stepper also work where the slider has the focus; its own arrows stay.
  parts.slider.addEventListener("keydown", (event) => {
    const run = { ",": previous, ".": next, p: play, " ": play }[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  });
  const mark = (part, n) => el("span", { class: part, style: `flex:${Math.max(n, 1)}` },
    n ? part : "");
  return el("div", { class: "track" }, parts.slider, el("div", { class: "phases",
    "aria-hidden": "true" }, mark("forward", forward.length), mark("backward", backward.length)));
}

function show() {
  const { frame } = state;
  const op = app.frameOp(frame);
  parts.off.setAttribute("aria-pressed", String(frame === null));
  parts.slider.value = frame ?? last;
  parts.slider.classList.toggle("idle", frame === null);
  const name = op ? app.nameOf(op.id) : "";
  const place = op?.part === "backward" ? frame - forward.length : frame;
  const total = op?.part === "backward" ? backward.length : forward.length;
  const count = op ? `${op.part} ${place + 1} of ${total}` : "all";
  parts.slider.setAttribute("aria-valuetext", op ? `${count}, ${name}` : "everything");
  parts.where.replaceChildren(...(op ? [el("span", { class: `phase ${op.part}` }, count),
    " ", app.nodeLink(op.id)] : []));
  parts.caption.replaceChildren(...caption());
  // While it plays, a sentence for every gate would never be heard to its end.
  if (op && timer === null) app.announce(`${count}, ${name}: ${parts.caption.textContent}`);
}

app.start.stepper = () => {
  const root = document.getElementById("stepper");
  if (last < 0) return;
  parts.where = el("span", { class: "where" });
  parts.caption = el("div", { class: "caption", tabindex: "0", role: "group",
    "aria-label": "what this step computes" });
  const head = el("div", { class: "stepper-head" }, controls(), track(), parts.where);
  root.append(head, parts.caption);
  app.key(".", "step: one operator on", next);
  app.key(",", "step: one operator back", previous);
  app.key("p", "step: play and pause; the space bar, too", play);
  app.key("Home", "step: the first", () => go(0));
  app.key("End", "step: the last", () => go(last));
  // Where something that folds has the focus, space folds it (graph.js).
  document.addEventListener("keydown", (event) => {
    const free = event.target === document.body || event.target.closest?.("#stepper, #stage");
    const taken = event.target.closest?.("button, input, select, .node, .group, .link, a");
    if (event.key !== " " || event.defaultPrevented || !free || taken) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    play();
  });
  app.on("frame", show);
  showPlaying();
  show();
};
