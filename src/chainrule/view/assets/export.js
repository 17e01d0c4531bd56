// The drawing as a file of its own, and on paper.

const MARGIN = 24;
const TOP = 54;
const BOTTOM = 46;

/** The rules of the drawing with every variable replaced: other programs know no variables. */
function rules() {
  const style = getComputedStyle(document.documentElement);
  const text = document.getElementById("drawing").textContent;
  return text.replace(/\/\*[^]*?\*\//g, "")
    .replace(/var\((--[\w-]+)(?:,\s*([^()]*))?\)/g,
      (_, name, otherwise) => style.getPropertyValue(name).trim() || otherwise || "inherit")
    .replace(/\s+/g, " ");
}

const bounds = () => (app.state.mode === "kernels" ? app.kernelBounds() : app.graphBounds());
const drawn = () => (app.state.mode === "kernels" ? app.kernelContent : app.graphContent);

/** The visible drawing as a standalone SVG document. */
app.svg = () => {
  const { width, height } = bounds();
  const legend = app.legend();
  const title = app.data.title ?? "";
  const wide = Math.max(width, legend.width, app.textWidth(title, 15, 600)) + 2 * MARGIN;
  const high = height + TOP + BOTTOM;
  const copy = drawn().cloneNode(true);
  copy.setAttribute("transform", `translate(${MARGIN} ${TOP})`);
  for (const part of copy.querySelectorAll(".unknown, .area, .toggle rect")) part.remove();
  legend.element.setAttribute("transform", `translate(${MARGIN} ${high - 20})`);
  const svg = app.svgEl("svg", {
    class: "drawing", width: Math.ceil(wide), height: Math.ceil(high),
    viewBox: `0 0 ${Math.ceil(wide)} ${Math.ceil(high)}`, role: "img",
  },
  app.svgEl("title", null, title), app.svgEl("style", null, rules()),
  app.svgEl("rect", { width: "100%", height: "100%", class: "page" }),
  app.text(MARGIN, 26, title, "heading", 15), copy, legend.element);
  return new XMLSerializer().serializeToString(svg);
};

/** Save text as a file.  A Blob's address lives in this page only: nothing is sent anywhere. */
app.save = (name, text, type) => {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = app.el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
};

app.saveSvg = () => {
  const name = (app.data.title || "graph").replace(/[^\w.-]+/g, "-").slice(0, 60);
  app.save(`${name}.svg`, app.svg(), "image/svg+xml");
};

// ---------------------------------------------------------------------------- on paper

/** Paper has no camera: the whole drawing, as large as the sheet allows. */
function toPaper() {
  const { width, height } = bounds();
  const svg = drawn().parentNode;
  svg.setAttribute("viewBox", `${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}`);
  drawn().removeAttribute("transform");
  svg.classList.remove("far");
}

function toScreen() {
  drawn().parentNode.removeAttribute("viewBox");
  app.cameras[app.state.mode]?.apply();
}

app.start.export = () => {
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", toScreen);
};
