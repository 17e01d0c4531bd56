// An array as a small picture: its number, its numbers, its image, or a histogram and its norm.
//
// A figure knows its size before it is drawn: the labels' room is part of the layout, and a frame
// of the stepper that hides numbers must not move anything.

const LINE = 13; // the height of a line of text
const BARS = { width: 46, height: 15 };
const IMAGE = 44; // the longer side at most
const FEW = 4; // numbers that are written out in a row

// ---------------------------------------------------------------------------- widths of text

const pen = document.createElement("canvas").getContext("2d");
const family = 'system-ui, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif';
const widths = new Map();

/** The width of a line of text in pixels. */
app.textWidth = (text, size = 12, weight = 400) => {
  const key = `${size} ${weight} ${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    pen.font = `${weight} ${size}px ${family}`;
    width = pen.measureText(text).width;
    widths.set(key, width);
  }
  return width;
};

/** A line of text whose middle line is at y. */
app.text = (x, y, text, kind, size = 12) =>
  app.svgEl("text", { x, y: y + 0.35 * size, class: kind }, text);

// ---------------------------------------------------------------------------- figures

/** The numbers of an array as rows of text, or null if they are too many to write out. */
function rowsOf(array) {
  if (array.number !== undefined) return [[app.format.number(array.number)]];
  const numbers = array.data;
  if (!numbers?.length) return null;
  const [columns, rows] = [array.shape.at(-1) ?? 1, array.shape.at(-2) ?? 1];
  const small = numbers.length <= FEW || (array.shape.length === 2 && rows <= 3 && columns <= FEW);
  if (!small) return null;
  const whole = numbers.every((v) => Number.isInteger(v));
  const texts = numbers.map((v) => (whole ? String(v) : app.format.number(v)));
  const found = [];
  for (let i = 0; i < texts.length; i += columns) found.push(texts.slice(i, i + columns));
  return found;
}

/** What is said in words under the bars of a large array. */
function caption(array) {
  const broken = [array.nan && `${array.nan} nan`, array.inf && `${array.inf} inf`];
  const words = broken.filter(Boolean).join(", ");
  return words || (array.text ?? "").replace(/^norm /, "");
}

/**
 * The figure of an array: {width, height, draw(up)}.
 *
 * `draw(up)` makes an element in which the figure is centred on x = 0 and stands on y = 0, upwards
 * or, mirrored, downwards: the two numbers of an edge meet at the edge.
 */
app.figure = (array, kind, shape = "") => {
  if (array.image) return imageFigure(array, kind);
  const rows = isZero(array) && kind === "gradient" ? [["0"]] : rowsOf(array);
  return rows ? numberFigure(rows, kind) : barFigure(array, kind, shape);
};

/** Whether every number of a gradient is 0. */
const isZero = (array) => app.float(array.norm ?? array.number) === 0 && !array.nan;
app.isZero = isZero;

function numberFigure(rows, kind) {
  const columns = rows[0].map((_, j) => Math.max(...rows.map((row) => app.textWidth(row[j]))));
  const width = columns.reduce((a, b) => a + b + 7, -7);
  const height = LINE * rows.length + (rows.length > 1 ? 2 : 0);
  const kindOf = (text) => (/^-?(nan|inf)/.test(text) ? `${kind} broken` : kind);
  const draw = (up) => {
    const group = app.svgEl("g", { class: "figure" });
    const top = up ? -height : 0;
    rows.forEach((row, i) => {
      let x = -width / 2;
      const y = top + LINE * (i + 0.5) + (rows.length > 1 ? 1 : 0);
      if (row.length === 1) group.append(app.text(0, y, row[0], `${kindOf(row[0])} middle`));
      else row.forEach((text, j) => {
        x += columns[j];
        group.append(app.text(x, y, text, `${kindOf(text)} end`));
        x += 7;
      });
    });
    if (rows.length > 1) group.append(brackets(width, height, top, kind));
    return group;
  };
  return { width: width + (rows.length > 1 ? 10 : 0), height, draw };
}

/** The brackets of a matrix. */
function brackets(width, height, top, kind) {
  const [x, h] = [width / 2 + 3, height - 2];
  const d = `M${-x + 3} ${top + 1}h-3v${h}h3M${x - 3} ${top + 1}h3v${h}h-3`;
  return app.svgEl("path", { d, class: `bracket ${kind}-ink` });
}

/** [width, height] of a PNG in a data: URI, which it says in bytes 16 to 23. */
function pixels(uri) {
  const head = atob(uri.slice(uri.indexOf(",") + 1).slice(0, 44));
  const word = (at) => [0, 1, 2, 3].reduce((v, i) => 256 * v + head.charCodeAt(at + i), 0);
  return [word(16), word(20)];
}

function imageFigure(array, kind) {
  const [columns, rows] = pixels(array.image);
  const scale = IMAGE / Math.max(rows, columns, 1);
  const [w, h] = [Math.max(16, columns * scale), Math.max(16, rows * scale)];
  const text = caption(array);
  const height = h + LINE + 2;
  const draw = (up) => app.svgEl("g", { class: "figure" },
    app.svgEl("image", {
      x: -w / 2, y: up ? -h - 1 : 1, width: w, height: h, href: array.image,
      preserveAspectRatio: "none", class: "pixels",
    }),
    app.svgEl("rect", {
      x: -w / 2, y: up ? -h - 1 : 1, width: w, height: h, class: `frame ${kind}-ink`,
    }),
    app.text(0, up ? -h - 9 : h + 9, text, `${kind} small middle`, 10));
  return { width: Math.max(w, app.textWidth(text, 10)), height, draw };
}

/** Bars that stand on the edge, or hang from it, with the norm beyond. */
function barFigure(array, kind, shape) {
  const text = caption(array);
  const broken = array.nan || array.inf ? " broken" : "";
  const gap = shape ? 6 : 0;
  const wide = app.textWidth(shape, 10) + gap + app.textWidth(text, 10);
  const bars = array.hist ? BARS.height + 1 : 0;
  const draw = (up) => {
    const y = up ? -bars - 7 : bars + 7;
    const line = app.text(0, y, "", `${kind} small middle${broken}`, 10);
    if (shape) line.append(app.svgEl("tspan", { class: "faint" }, shape), " ");
    line.append(app.svgEl("tspan", { dx: shape ? 3 : null }, text));
    return app.svgEl("g", { class: "figure" }, array.hist ? histogram(array.hist, kind, up) : null,
      line);
  };
  return { width: Math.max(wide, BARS.width), height: bars + LINE, draw };
}

function histogram(counts, kind, up) {
  const most = Math.max(...counts, 1);
  const step = BARS.width / counts.length;
  let d = "";
  counts.forEach((count, i) => {
    if (!count) return;
    // A bin that holds anything is seen.
    const h = Math.max(1, (BARS.height * count) / most);
    const x = -BARS.width / 2 + i * step;
    const tall = ((up ? -1 : 1) * h).toFixed(1);
    d += `M${x.toFixed(1)} ${up ? -1 : 1}v${tall}h${(step - 0.6).toFixed(1)}v${-tall}z`;
  });
  return app.svgEl("path", { d, class: `bars ${kind}-bars` });
}

/** A single line in place of a figure: "2 of 5 uses". */
app.wordFigure = (text, kind) => ({
  width: app.textWidth(text, 10),
  height: LINE,
  draw: (up) => app.svgEl("g", { class: "figure" },
    app.text(0, up ? -LINE / 2 : LINE / 2, text, `${kind} small middle`, 10)),
});
