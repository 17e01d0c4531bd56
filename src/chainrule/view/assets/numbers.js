// How numbers and arrays are written: exactly, in short, as a histogram, as a table, as an image.
//
// What belongs to the forward pass is in the colour of values, what comes back in the colour of
// gradients (`role`: "value", "gradient" or, of a factor between both, "local"); what is not a
// number, or infinite, is alarming in all, so that it cannot be overlooked.

const { el, svgEl, format } = app;
const IMAGE = { width: 260, height: 160 }; // pixels, at most
const FEW = 8; // elements that are read faster than their histogram
const MOST_COLUMNS = 6; // of a vector that is written out as a table

/** Whether a number of the data is finite; JSON's strings stand for those that are not. */
const finite = (v) => Number.isFinite(app.float(v));

app.numbers = {
  /** A number to its last digit, as `tensor.item()` prints it. */
  exact(v, dtype) {
    const x = app.float(v);
    if (dtype === "bool") return x ? "True" : "False";
    if (!Number.isFinite(x)) return format.number(x);
    if (/int/.test(dtype ?? "")) return String(x);
    const size = Math.abs(x);
    if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
      // Python writes at least two digits of an exponent.
      const [mantissa, exponent] = x.toExponential().split("e");
      return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
    }
    return Number.isInteger(x) ? x.toFixed(1) : String(x);
  },

  /** About four digits: what a table of statistics needs. */
  rough(v) {
    const x = app.float(v);
    if (typeof x !== "number") return "";
    if (!Number.isFinite(x)) return format.number(x);
    const size = Math.abs(x);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return x.toExponential(2).replace("e+", "e");
    return String(Number(x.toPrecision(4)));
  },

  /** An array in a few characters: its number, or its norm between bars. */
  text(array) {
    if (!array) return "?";
    if (array.number !== undefined || !/^norm /.test(array.text ?? "")) return array.text ?? "?";
    return `‖${array.text.slice(5)}‖`;
  },

  /** The same as an element; the shape stands behind, small, unless it is one number. */
  term(array, role) {
    const bad = array && (array.nan || array.inf) ? " alarm" : "";
    const shape = array && array.number === undefined && array.shape.length
      ? el("sub", {}, format.shape(array.shape)) : null;
    return el("span", { class: `term role-${role}${bad}` }, app.numbers.text(array), shape);
  },

  block,
};

/** All that is known of an array: number or statistics, histogram, image, and its elements. */
function block(array, role, dtype) {
  const parts = [];
  if (array.number !== undefined) {
    const bad = finite(array.number) ? "" : " alarm";
    const text = app.numbers.exact(array.number, dtype);
    parts.push(el("p", { class: `number role-${role}${bad}` }, text));
  } else {
    parts.push(alarms(array), statistics(array));
    if (array.hist && !(array.data?.length <= FEW)) parts.push(histogram(array, role));
    if (array.image) parts.push(image(array, role));
    if (array.data) parts.push(table(array, dtype));
  }
  return el("div", { class: `array role-${role}` }, parts);
}

/** How many elements are not numbers: first, and in the colour of alarm. */
function alarms(array) {
  const found = [];
  if (array.nan) found.push(`${format.count(array.nan)} NaN`);
  if (array.inf) found.push(`${format.count(array.inf)} infinite`);
  return found.length ? el("p", { class: "alarm strong" }, found.join(", ")) : null;
}

function statistics(array) {
  const named = { norm: array.norm, mean: array.mean, std: array.std ?? 0 };
  const same = array.min !== undefined && array.min === array.max;
  const whole = array.nan || array.inf ? "finite" : "all";
  const wide = same ? { [whole]: array.min } : null;
  const cells = Object.entries(wide ? { norm: array.norm, ...wide } : named)
    .filter(([, v]) => v !== undefined)
    .map(([name, v]) => [name, app.numbers.rough(v)]);
  if (!array.hist && array.min !== undefined && !wide) {
    cells.push(["min", app.numbers.rough(array.min)], ["max", app.numbers.rough(array.max)]);
  }
  if (array.zeros) cells.push(["zeros", format.percent(array.zeros)]);
  return el("dl", { class: "statistics" }, cells.map(
    ([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
}

/** Sixteen bars from the smallest to the largest element, a thin line where zero is. */
function histogram(array, role) {
  const low = app.float(array.min);
  const high = app.float(array.max);
  if (!(high > low)) return null;
  const most = Math.max(...array.hist);
  const width = 320 / array.hist.length;
  const step = (high - low) / array.hist.length;
  const bars = array.hist.map((count, i) => {
    // One element among thousands still is a bar that can be seen.
    const height = count ? Math.max(1.5, 46 * count / most) : 0;
    const tip = `${count} from ${app.numbers.rough(low + i * step)} `
      + `to ${app.numbers.rough(low + (i + 1) * step)}`;
    return svgEl("rect", { x: i * width + 0.75, y: 48 - height, width: width - 1.5, height,
      class: "bin" }, svgEl("title", {}, tip));
  });
  const zero = low < 0 && high > 0 ? 320 * -low / (high - low) : null;
  if (zero !== null) {
    bars.push(svgEl("line", { x1: zero, x2: zero, y1: 0, y2: 48, class: "zero" }));
  }
  const ends = [app.numbers.rough(low), app.numbers.rough(high)];
  const between = zero !== null && zero > 50 && zero < 270
    ? el("span", { class: "zero-mark", style: `left:${zero / 3.2}%` }, "0") : null;
  return el("figure", { class: "histogram" },
    svgEl("svg", { viewBox: "0 0 320 48", preserveAspectRatio: "none", role: "img",
      "aria-label": `histogram of the ${role}, from ${ends[0]} to ${ends[1]}` },
    svgEl("line", { x1: 0, x2: 320, y1: 48, y2: 48, class: "axis" }), bars),
    el("figcaption", {}, el("span", {}, ends[0]), between, el("span", {}, ends[1])));
}

/** The image, enlarged by a whole number where that is possible, so that every cell is square. */
function image(array, role) {
  const picture = el("img", { class: "array-image",
    alt: `the ${role} as an image of ${format.shape(array.shape)}` });
  picture.addEventListener("load", () => {
    const [width, height] = [picture.naturalWidth, picture.naturalHeight];
    const scale = Math.min(IMAGE.width / width, IMAGE.height / height);
    picture.style.width = `${width * (scale > 1 ? Math.floor(scale) : scale)}px`;
  });
  picture.src = array.image;
  return picture;
}

/** The elements, a row for every index but the last; a long vector is wrapped. */
function table(array, dtype) {
  const last = array.shape.at(-1) ?? 1;
  const vector = array.shape.length < 2;
  const columns = vector ? Math.min(last, MOST_COLUMNS) : last;
  const rows = [];
  for (let at = 0; at < array.data.length; at += columns) {
    const cells = array.data.slice(at, at + columns).map((v) => el("td", {
      title: app.numbers.exact(v, dtype), class: finite(v) ? null : "alarm",
    }, shortly(v, dtype)));
    const label = vector && array.data.length <= columns ? null
      : el("th", { scope: "row" }, vector ? `${at}` : index(at / columns, array.shape));
    rows.push(el("tr", {}, label, cells));
  }
  return el("div", { class: "wide-table", tabindex: "0", role: "region",
    "aria-label": "the elements" }, el("table", {}, el("tbody", {}, rows)));
}

function shortly(v, dtype) {
  if (/int|bool/.test(dtype ?? "") && finite(v)) return app.numbers.exact(v, dtype);
  return format.number(v);
}

/** The row-major number of a row as its indices: 5 of 2×3×k is "1,2". */
function index(row, shape) {
  const found = [];
  for (const size of shape.slice(0, -1).reverse()) {
    found.unshift(row % size);
    row = Math.floor(row / size);
  }
  return found.join(",");
}
