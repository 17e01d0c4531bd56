/* Hovering, smoothing, switching lines and axes of the charts that are in the page already. */

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
root.classList.add("scripted");
const NS = "http://www.w3.org/2000/svg";
const FEW = 24;
const tip = document.getElementById("tip");
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
/** Numbers of the page's data: what JSON lacks is text there. */
const numeric = (list) => list.map((v) => (typeof v === "string"
  ? Number(v.replace("inf", "Infinity")) : v === null ? NaN : v));

function element(tag, attrs, parent) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attrs)) made.setAttribute(name, value);
  parent.append(made);
  return made;
}

// ---------------------------------------------------------------------------- numbers

const superscript = (n) => String(n).replace(/./g, (c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]);
const grouped = (text) => {
  const [whole, part] = text.split(".");
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
};

/** A number with a power of ten where digits would be many. */
function written(value, digits, isLog) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "∞");
  const size = Math.abs(value);
  if (value && ((isLog && !(size >= 0.01 && size < 1e4)) || size < 1e-4 || size >= 1e6)) {
    const exponent = Math.floor(Math.log10(size) + 1e-9);
    const factor = value / 10 ** exponent;
    const power = `10${superscript(exponent)}`;
    return Math.abs(factor - 1) < 1e-9 ? power : `${Number(factor.toPrecision(3))}·${power}`;
  }
  return grouped(String(Number(value.toPrecision(digits))));
}

function ticks(low, high, about) {
  const rough = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough * (1 - 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

function logTicks(low, high, about) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const found = [];
  if (last - first + 1 >= 3) {
    const step = Math.ceil((last - first + 1) / (about + 1));
    for (let e = first; e <= last; e++) if (e % step === 0) found.push(10 ** e);
    return found;
  }
  for (let e = first - 1; e <= last; e++) {
    for (const m of [1, 2, 5]) found.push(m * 10 ** e);
  }
  return found.filter((t) => t >= low && t <= high);
}

/** The range of an axis, as the page was laid out with (scales.py). */
function range(values, isLog) {
  let low = Infinity, high = -Infinity;
  for (const v of values) {
    if (Number.isFinite(v) && (v > 0 || !isLog)) {
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
  }
  if (low > high) return isLog ? [1e-3, 1] : [0, 1];
  if (isLog) {
    const middle = Math.sqrt(low) * Math.sqrt(high);
    return [Math.max(Math.min(low / 1.15, middle / 2.2), 1e-300),
      Math.min(Math.max(high * 1.15, middle * 2.2), 1e300)];
  }
  if (low > 0 && low < 0.4 * high) low = 0;
  const room = 0.06 * (high - low) || 0.1 * Math.abs(high) || 1;
  return [low - (low ? room : 0), high + room];
}

/** Moving averages, with a weight that falls with the distance (curves.py). */
function smoothed(xs, values, weight) {
  const mean = xs.length > 1 ? (xs[xs.length - 1] - xs[0]) / (xs.length - 1) : 0;
  let total = 0, share = 0;
  return values.map((y, i) => {
    if (!Number.isFinite(y)) return y;
    const w = i && mean > 0 ? weight ** (Math.max(0, xs[i] - xs[i - 1]) / mean) : weight;
    total = w * total + (1 - w) * y;
    share = w * share + 1 - w;
    return share ? total / share : y;
  });
}

// ---------------------------------------------------------------------------- charts

class Chart {
  constructor(given, figure) {
    Object.assign(this, given, { figure, svg: figure.querySelector("svg"), isLog: given.log });
    [this.left, this.top, this.width, this.height] = given.box;
    this.series = given.series.map((s, i) => ({
      ...s, x: numeric(s.x), y: numeric(s.y), low: s.low && numeric(s.low),
      high: s.high && numeric(s.high), on: true,
      group: this.svg.querySelector(`.series[data-series="${i}"]`),
    }));
    this.cross = this.svg.querySelector(".cross");
    this.marks = this.svg.querySelector(".marks");
    this.weight = 0;
    this.listen();
  }

  listen() {
    const log = this.figure.querySelector(".log");
    log.addEventListener("click", () => {
      this.isLog = !this.isLog;
      log.setAttribute("aria-pressed", this.isLog);
      this.draw();
    });
    this.chips = [...this.figure.querySelectorAll(".chip")];
    this.chips.forEach((chip, i) => {
      chip.title = "click: hide or show; double click: this one alone";
      chip.addEventListener("click", () => this.show(i, !this.series[i].on));
      chip.addEventListener("dblclick", () => this.alone(i));
      chip.addEventListener("pointerenter", () => this.emphasize(i));
      chip.addEventListener("pointerleave", () => this.emphasize(null));
    });
    this.svg.addEventListener("pointermove", (event) => this.hover(event));
    this.svg.addEventListener("pointerleave", () => {
      tip.hidden = true;
      for (const chart of charts) chart.cross.replaceChildren();
      this.emphasize(null);
    });
  }

  show(i, on) {
    this.series[i].on = on;
    this.chips[i]?.setAttribute("aria-pressed", on);
    this.series[i].group.classList.toggle("off", !on);
    this.draw();
  }

  alone(i) {
    const others = this.series.filter((s, k) => k !== i);
    const back = this.series[i].on && others.every((s) => !s.on);
    this.series.forEach((s, k) => this.show(k, back || k === i));
  }

  emphasize(i) {
    this.series.forEach((s, k) => s.group.classList.toggle("dim", i !== null && k !== i));
  }

  // ------------------------------------------------------------------ drawing
  px(x) { return this.left + (x - this.x[0]) / (this.x[1] - this.x[0]) * this.width; }

  py(y) {
    const [low, high] = this.yRange;
    const share = this.isLog
      ? Math.log(y / low) / Math.log(high / low) : (y - low) / (high - low);
    return !this.isLog || y > 0 ? this.top + (1 - share) * this.height : NaN;
  }

  draw() {
    const seen = this.series.filter((s) => s.on);
    const values = seen.flatMap((s) => (s.low ? [...s.low, ...s.high] : s.y));
    if (this.guide !== null) values.push(this.guide);
    this.yRange = range(values, this.isLog);
    this.drawAxis();
    for (const s of seen) this.drawLine(s);
  }

  drawAxis() {
    const axes = this.svg.querySelector(".axes");
    for (const old of axes.querySelectorAll(".grid, .guide, .end")) old.remove();
    const [low, high] = this.yRange;
    const right = this.left + this.width;
    const level = (y) => `M${this.left.toFixed(1)} ${this.py(y).toFixed(1)}H${right.toFixed(1)}`;
    for (const tick of this.isLog ? logTicks(low, high, 5) : ticks(low, high, 5)) {
      element("path", { class: "grid", d: level(tick) }, axes);
      element("text", { class: "end", x: this.left - 8, y: this.py(tick) + 4 }, axes)
        .textContent = written(tick, 6, this.isLog);
    }
    if (this.guide !== null) element("path", { class: "guide", d: level(this.guide) }, axes);
  }

  drawLine(s) {
    const weight = this.smooth ? this.weight : 0;
    s.shown = weight ? smoothed(s.x, s.y, weight) : s.y;
    s.group.replaceChildren();
    if (s.low && this.series.length <= 4) element("path", { class: "band", d: this.band(s) }, s.group);
    if (weight) element("path", { class: "raw", d: this.path(s, s.y) }, s.group);
    element("path", { class: "line", d: this.path(s, s.shown) }, s.group);
    const known = s.shown.map((y) => Number.isFinite(this.py(y)));
    s.shown.forEach((y, i) => {
      if (known[i] && (s.y.length <= FEW || !(known[i - 1] || known[i + 1]))) {
        element("circle", { cx: this.px(s.x[i]), cy: this.py(y), r: 2.4 }, s.group);
      }
    });
  }

  path(s, values) {
    let d = "", down = false;
    values.forEach((y, i) => {
      const at = this.py(y);
      if (!Number.isFinite(at)) { down = false; return; }
      d += `${down ? "L" : "M"}${this.px(s.x[i]).toFixed(1)} ${at.toFixed(1)}`;
      down = true;
    });
    return d;
  }

  band(s) {
    const known = s.x.map((x, i) => i).filter((i) => Number.isFinite(this.py(s.low[i])));
    const point = (i, y) => `${this.px(s.x[i]).toFixed(1)} ${this.py(y[i]).toFixed(1)}`;
    const there = known.map((i) => point(i, s.high));
    const back = known.reverse().map((i) => point(i, s.low));
    return known.length ? `M${[...there, ...back].join("L")}Z` : "";
  }

  // ------------------------------------------------------------------ hovering
  hover(event) {
    const box = this.svg.getBoundingClientRect();
    const scale = box.width / this.svg.viewBox.baseVal.width;
    const u = (event.clientX - box.left) / scale, v = (event.clientY - box.top) / scale;
    const x = this.x[0] + (clamp(u, this.left, this.left + this.width) - this.left)
      / this.width * (this.x[1] - this.x[0]);
    for (const chart of charts) {
      if (chart === this || (this.steps && chart.steps)) chart.mark(x);
    }
    this.tell(event, x, v);
  }

  /** A vertical line at the nearest point of each line, and a dot on it. */
  mark(x) {
    this.cross.replaceChildren();
    if (x < this.x[0] || x > this.x[1]) return;
    const seen = this.series.filter((s) => s.on && s.x.length);
    if (!seen.length) return;
    const first = seen[0], at = this.px(first.x[nearest(first.x, x)]);
    element("path", { d: `M${at} ${this.top}v${this.height}` }, this.cross);
    for (const s of seen) {
      const i = nearest(s.x, x), y = this.py((s.shown ?? s.y)[i]);
      if (Number.isFinite(y)) {
        element("circle", { class: colourOf(s.group), cx: this.px(s.x[i]), cy: y, r: 3.2 },
          this.cross);
      }
    }
  }

  tell(event, x, v) {
    const seen = this.series.filter((s) => s.on && s.x.length);
    const rows = seen.map((s) => ({ s, i: nearest(s.x, x) }))
      .map(({ s, i }) => ({ s, i, off: Math.abs(this.py((s.shown ?? s.y)[i]) - v) || 0 }));
    // Of many lines those near the pointer.
    const shown = rows.length > 14
      ? rows.sort((a, b) => a.off - b.off).slice(0, 8) : rows;
    if (!shown.length) return;
    const s = shown[0].s;
    tip.replaceChildren();
    const head = document.createElement("b");
    const to = s.x[shown[0].i], from = shown[0].i ? s.x[shown[0].i - 1] + 1 : 1;
    const span = s.each > 1 && from < to ? `steps ${grouped(String(from))} to ` : "step ";
    head.textContent = span + grouped(String(to));
    tip.append(head);
    for (const { s: line, i } of shown) {
      const row = document.createElement("div");
      row.className = colourOf(line.group);
      const name = document.createElement("span"), value = document.createElement("em");
      name.textContent = line.name;
      value.textContent = written(line.y[i], 5)
        + (line.low ? `  (${written(line.low[i], 4)} to ${written(line.high[i], 4)})` : "")
        + (this.key === "time" ? ` ${this.unit}` : "");
      row.append(name, value);
      tip.append(row);
    }
    place(event);
  }
}

/** The place in a rising list that is nearest to x. */
function nearest(list, x) {
  let low = 0, high = list.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (list[middle] < x) low = middle; else high = middle;
  }
  return Math.abs(list[low] - x) <= Math.abs(list[high] - x) ? low : high;
}

const colourOf = (group) => [...group.classList].find((c) => /^[sd]\d+$/.test(c)) ?? "s0";

function place(event) {
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = event.clientX + 18 + width < innerWidth;
  tip.style.left = `${right ? event.clientX + 18 : Math.max(4, event.clientX - 18 - width)}px`;
  tip.style.top = `${clamp(event.clientY - height / 2, 4, innerHeight - height - 4)}px`;
}

// ---------------------------------------------------------------------------- heatmaps

function heatmap(given, figure) {
  const svg = figure.querySelector("svg"), cross = svg.querySelector(".cross");
  const [left, top, width, height] = given.box;
  svg.addEventListener("pointerleave", () => {
    tip.hidden = true;
    cross.replaceChildren();
  });
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = box.width / svg.viewBox.baseVal.width;
    const rows = given.names.length, columns = given.steps.length;
    const row = Math.floor(((event.clientY - box.top) / scale - top) / height * rows);
    const column = Math.floor(((event.clientX - box.left) / scale - left) / width * columns);
    cross.replaceChildren();
    tip.hidden = true;
    if (row < 0 || row >= rows || column < 0 || column >= columns) return;
    element("rect", {
      x: left + column / columns * width, y: top + row / rows * height, width: width / columns,
      height: height / rows,
    }, cross);
    const head = document.createElement("b"), line = document.createElement("p");
    const value = given.values[row][column];
    head.textContent = given.names[row];
    line.style.margin = 0;
    line.textContent = `step ${grouped(String(given.steps[column]))}:  |g| = `
      + (value === null ? "not known" : value === "inf" ? "not finite" : written(value, 4));
    tip.replaceChildren(head, line);
    place(event);
  });
}

// ---------------------------------------------------------------------------- the page

const charts = data.charts.map((given) => new Chart(given,
  [...document.querySelectorAll("[data-chart]")].find((f) => f.dataset.chart === given.key)));
for (const given of data.heatmaps) {
  heatmap(given, [...document.querySelectorAll("[data-heatmap]")]
    .find((f) => f.dataset.heatmap === given.key));
}

const slider = document.getElementById("smooth"), shownWeight = slider.nextElementSibling;
const longest = (chart) => Math.max(0, ...chart.series.map((s) => s.x.length));
function smooth(weight) {
  shownWeight.textContent = weight ? weight.toFixed(2) : "off";
  for (const chart of charts) {
    // What has few points is shown as it is.
    chart.weight = longest(chart) >= 60 ? weight : 0;
    chart.draw();
  }
}
slider.value = charts.some((c) => c.smooth && longest(c) >= 60) ? 0.6 : 0;
slider.addEventListener("input", () => smooth(Number(slider.value)));
smooth(Number(slider.value));

document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

const links = [...document.querySelectorAll("nav a")];
const sections = links.map((a) => document.getElementById(a.hash.slice(1)));
function follow() {
  const at = sections.findLastIndex((s) => s.getBoundingClientRect().top < 140);
  const end = innerHeight + scrollY >= document.body.scrollHeight - 4;
  links.forEach((a, i) => a.classList.toggle("here", i === (end ? links.length - 1 : at)));
}
addEventListener("scroll", follow, { passive: true });
follow();

window.chainrule = { charts, smooth };
document.body.dataset.ready = "";
