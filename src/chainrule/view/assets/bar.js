// The bar above the drawing: its title, and the controls that concern all of it.

const { el, button, state } = app;

// ---------------------------------------------------------------------------- theme

/** The theme in force: "light" or "dark". */
app.theme = () => document.documentElement.dataset.theme
  ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

app.setTheme = (theme) => {
  document.documentElement.dataset.theme = theme;
  app.emit("theme", theme);
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (!document.documentElement.dataset.theme) app.emit("theme", app.theme());
});

// ---------------------------------------------------------------------------- controls

const together = (label, ...buttons) =>
  el("span", { class: "group-of-buttons", role: "group", "aria-label": label }, buttons);

function modes() {
  if (!app.data.kernels) return null;
  const all = [["graph", "Graph", "what you wrote: the graph"],
    ["kernels", "Kernels", "what the machine runs: fused kernels"]];
  const made = all.map(([mode, sign, label]) =>
    button(sign, label, () => app.setMode(mode), { "data-mode": mode }));
  const press = () => {
    for (const b of made) b.setAttribute("aria-pressed", b.dataset.mode === state.mode);
  };
  app.on("mode", press);
  press();
  return together("what is drawn", ...made);
}

function colours() {
  const select = el("select", {
    id: "colour", "aria-label": "colour the boxes by", title: "colour the boxes by",
    onchange: () => app.setColour(select.value),
  }, app.colourModes.map(({ id, label }) => el("option", { value: id }, label)));
  app.on("colour", (mode) => { select.value = mode; });
  app.on("mode", (mode) => { select.disabled = mode === "kernels"; });
  return select;
}

function panelButton() {
  const toggle = button("◨", "show or hide the panel", () => {
    document.body.classList.toggle("wide");
    toggle.setAttribute("aria-pressed", !document.body.classList.contains("wide"));
  }, { "aria-pressed": "true" });
  return toggle;
}

app.start.bar = () => {
  const camera = () => app.cameras[state.mode];
  const title = app.data.title ?? "";
  document.getElementById("bar").append(
    el("h1", { title }, title), el("span", { class: "space" }),
    ...[modes()].filter(Boolean),
    together("folding",
      button("⊟", "fold one level (E)", () => app.foldLevel()),
      button("⊞", "unfold one level (e)", () => app.unfoldLevel())),
    together("zoom",
      button("−", "zoom out (-)", () => camera().zoom(0.8)),
      button("fit", "fit everything in (f)", () => camera().fit()),
      button("+", "zoom in (+)", () => camera().zoom(1.25))),
    colours(),
    button("◐", "light or dark", () => app.setTheme(app.theme() === "dark" ? "light" : "dark")),
    button("save SVG", "save the drawing as an SVG file", () => app.saveSvg()),
    panelButton(),
  );
};
