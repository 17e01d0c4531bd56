// Coordinates.  Python has decided the columns and the order in each (view/layers.py, which is the
// reference for this file); what is left is to find y and x for the sizes that boxes have now.
//
// A column's items keep their order and their distance, and the heights minimise
//     sum over links  weight * (y of the tail's port - y of the head's port)^2.
// For one column that is an isotonic regression, solved exactly; sweeps over the columns converge.

const GAP_BETWEEN_ITEMS = 16;
const GAP_BETWEEN_BENDS = 8;
const GAP_BETWEEN_COLUMNS = 22;
const STRAIGHTENING = 40; // sweeps
const PATIENCE = 40_000; // items times sweeps: of a huge drawing nobody sees the difference
const STILL = 0.02; // pixels: no item moved farther in a sweep

/**
 * Place what a layout holds.
 *
 * `size(key)` of an item is {width, height, clearance?, radius?, ports?}: `clearance` is kept free
 * above and below, `ports` (of an open group) is {in: {node: offset}, out: ...} from the centre.
 * `label(i)` of link i is {width, height} or null.
 *
 * The result is {width, height, rows, items, links}: items[key] = {x, y, width, height} with x, y
 * the centre; links[i] = {points, label} where the curve runs level through `points` two by two,
 * and `label` is the centre of the label's room.
 */
app.place = (layout, size, label) => {
  const drawing = read(layout, size, label);
  spreadPorts(drawing);
  straighten(drawing);
  const { width, height, rows } = setColumns(drawing);
  const items = {};
  for (const item of drawing.items) if (!item.bend) items[item.key] = item;
  return { width, height, rows, items, links: drawing.links };
};

/** The items and links of a layout, with what is known of them before they are placed. */
function read(layout, size, label) {
  const byKey = new Map();
  const columns = layout.columns.map((keys, column) => keys.map((key, order) => {
    const bend = key[0] === "b";
    const item = {
      key, column, order, bend, width: 0, height: 0, clearance: 0, radius: 0,
      ...(bend ? null : size(key)),
      side: key[0] === "i" ? "first" : key[0] === "o" ? "last" : "",
      x: 0, y: 0, from: 0, to: 0, row: 0, fed: false, left: [], right: [],
    };
    byKey.set(key, item);
    return item;
  }));
  const links = (layout.links ?? []).map((link, i) => {
    const stops = [link.tail, ...(link.bends ?? []), link.head].map((key) => byKey.get(key));
    const room = label(i);
    if (room && stops.length > 2) Object.assign(stops[1], room);
    stops.at(-1).fed = true;
    return { stops, source: link.from, tailPort: 0, headPort: 0, labelled: Boolean(room) };
  });
  const items = columns.flat();
  for (const item of items) item.reach = item.height / 2 + item.clearance;
  return { columns, links, items };
}

// ---------------------------------------------------------------------------- ports

/** Attach the links of an item one below the other, in the order in which they arrive. */
function spreadPorts({ items, links }) {
  const arriving = new Map(items.map((item) => [item, []]));
  const leaving = new Map(items.map((item) => [item, []]));
  for (const link of links) {
    leaving.get(link.stops[0]).push([link.stops[1].order, link]);
    arriving.get(link.stops.at(-1)).push([link.stops.at(-2).order, link]);
  }
  for (const [side, attached] of [["in", arriving], ["out", leaving]]) {
    for (const [item, ends] of attached) attach(item, side, ends.sort((a, b) => a[0] - b[0]));
  }
}

function attach(item, side, ends) {
  const room = item.side ? 0 : 0.64 * item.height;
  const pitch = Math.min(12, room / Math.max(ends.length - 1, 1));
  ends.forEach(([, link], i) => {
    const fixed = item.ports?.[side]?.[link.source];
    const offset = fixed ?? pitch * (i - (ends.length - 1) / 2);
    if (side === "in") link.headPort = offset;
    else link.tailPort = offset;
  });
}

// ---------------------------------------------------------------------------- heights

function straighten({ columns, links, items }) {
  pull(links);
  for (const column of columns) stack(column, "none", true);
  const sweeps = Math.min(STRAIGHTENING, 1 + Math.floor(PATIENCE / (1 + items.length)));
  const reversed = [...columns].reverse();
  for (let sweep = 0; sweep < sweeps; sweep += 1) {
    let moved = 0;
    for (const [side, order] of [["left", columns], ["right", reversed], ["both", columns]]) {
      let farthest = 0;
      for (const column of order) farthest = Math.max(farthest, stack(column, side, false));
      moved = farthest;
    }
    if (moved < STILL) break;
  }
  for (const column of columns) stack(column, "left", false);
}

/** Give each item what draws it to y + offset: [weight, neighbour, offset], on either side. */
function pull(links) {
  for (const link of links) {
    const { stops } = link;
    // What flows on is kept straight; a leaf can be moved to where it is used.
    const weight = stops[0].fed || stops[0].side ? 4 : 1;
    for (let i = 0; i + 1 < stops.length; i += 1) {
      const [a, b] = [stops[i], stops[i + 1]];
      const stiff = weight * (a.bend && b.bend ? 4 : 1);
      // What leaves a group of several rows below leads on at the height at which it was entered:
      // such groups stand side by side, where level links would make them a staircase.
      const start = stops[0].entered ?? link.tailPort;
      const offset = (i === 0 ? start : 0) - (i + 2 === stops.length ? link.headPort : 0);
      b.left.push([stiff, a, offset]);
      a.right.push([stiff, b, -offset]);
    }
  }
}

/**
 * Move one column to the best y for its neighbours' present y; how far the farthest item moved.
 *
 * With z = y - (room taken by the items above), "in order and apart" reads "z does not fall", and
 * pooling adjacent violators finds the nearest such z.
 */
function stack(column, side, fresh) {
  let room = 0;
  let above = null;
  const rooms = [];
  const moments = []; // of a block of items that move as one: sum of weight * target ...
  const weights = []; // ... its weight ...
  const counts = []; // ... and how many they are
  for (const item of column) {
    if (above) {
      const gap = above.bend && item.bend ? GAP_BETWEEN_BENDS : GAP_BETWEEN_ITEMS;
      room += above.reach + item.reach + gap;
    }
    above = item;
    rooms.push(room);
    const sum = { weight: 1e-6, moment: 1e-6 * ((fresh ? room : item.y) - room) };
    if (side === "left" || side === "both") draw(item.left, room, sum);
    if (side === "right" || side === "both") draw(item.right, room, sum);
    moments.push(sum.moment);
    weights.push(sum.weight);
    counts.push(1);
    pool(moments, weights, counts);
  }
  let farthest = 0;
  let i = 0;
  for (let block = 0; block < counts.length; block += 1) {
    const level = moments[block] / weights[block];
    for (let n = 0; n < counts[block]; n += 1, i += 1) {
      farthest = Math.max(farthest, Math.abs(column[i].y - level - rooms[i]));
      column[i].y = level + rooms[i];
    }
  }
  return farthest;
}

function draw(pulls, room, sum) {
  for (const [weight, other, offset] of pulls) {
    sum.weight += weight;
    sum.moment += weight * (other.y + offset - room);
  }
}

/** Merge the last blocks while an upper one wants to be below a lower one. */
function pool(moments, weights, counts) {
  let k = moments.length - 1;
  while (k > 0 && moments[k - 1] / weights[k - 1] > moments[k] / weights[k]) {
    moments[k - 1] += moments.pop();
    weights[k - 1] += weights.pop();
    counts[k - 1] += counts.pop();
    k -= 1;
  }
}

// ---------------------------------------------------------------------------- columns and curves

/** Set every x, the wider apart the steeper the links; break rows; move the drawing to (0, 0). */
function setColumns({ columns, links, items }) {
  const steepest = new Array(columns.length).fill(0);
  for (const link of links) {
    const ends = heights(link);
    for (let i = 0; i + 1 < ends.length; i += 1) {
      const column = link.stops[i].column;
      steepest[column] = Math.max(steepest[column], Math.abs(ends[i + 1] - ends[i]));
    }
  }
  let right = 0;
  const extent = [];
  columns.forEach((column, c) => {
    const width = column.reduce((w, item) => Math.max(w, item.width), 0);
    for (const item of column) {
      [item.x, item.from, item.to] = [right + width / 2, right, right + width];
      // A source stands close to its users.
      if (!item.fed && !item.side && !item.bend) item.x += (width - item.width) / 2;
    }
    extent.push([right, right + width]);
    // A column of bends without labels takes no room of its own.
    const empty = !width && c % 2 === 1;
    right += width + (empty ? 0 : GAP_BETWEEN_COLUMNS) + Math.min(0.4 * steepest[c], 80);
  });
  const rows = app.wrap(columns, links, extent);
  for (const link of links) trace(link, rows);
  return {
    width: items.reduce((w, item) => Math.max(w, item.x + item.width / 2),
      rows.reduce((w, row) => Math.max(w, row.passing.length ? app.rowEnd(row) : 0), 0)),
    height: items.reduce((h, item) => Math.max(h, item.y + item.reach), 0),
    rows: rows.length,
  };
}

/** Where a link passes its stops. */
function heights({ stops, tailPort, headPort }) {
  const ys = stops.map((item) => item.y);
  ys[0] += tailPort;
  ys[ys.length - 1] += headPort;
  return ys;
}

/** Between the columns a link may climb; where it passes one, and at its ends, it is level. */
function trace(link, rows) {
  const { stops } = link;
  const ys = heights(link);
  const last = stops.length - 1;
  const points = [[border(stops[0], link.tailPort, 1), ys[0]], [stops[0].to, ys[0]]];
  for (let i = 1; i <= last; i += 1) {
    const { row } = stops[i - 1];
    if (stops[i].row !== row) points.push(...app.around(rows, link, row, ys[i - 1], ys[i]));
    points.push([stops[i].from, ys[i]]);
    points.push([i < last ? stops[i].to : border(stops[i], link.headPort, -1), ys[i]]);
  }
  link.points = points;
  link.label = link.labelled && last > 1 ? { x: stops[1].x, y: ys[1] } : null;
}

/** Where a level line at the port's height meets the box, round corners included. */
function border(item, port, side) {
  const radius = item.radius ?? 0;
  const corner = Math.min(radius, Math.max(0, Math.abs(port) - (item.height / 2 - radius)));
  const missing = radius - Math.sqrt(radius ** 2 - corner ** 2);
  // An item may be wider than its box, by `inset` at the left and `outlet` at the right: a name
  // below it, the way out of the whole graph.
  const edge = side > 0 ? item.width / 2 - (item.outlet ?? 0) : (item.inset ?? 0) - item.width / 2;
  return item.x + edge - side * missing;
}

const r = (v) => Math.round(10 * v) / 10;
const ROUND = 9; // the radius of a corner

/**
 * The path through `points` that leaves and enters each of them level.
 *
 * At a point [x, y, "corner"] it turns by a right angle, as neatly as there is room.
 */
app.smooth = (points) => {
  let [x, y] = points[0];
  let path = `M${r(x)} ${r(y)}`;
  points.slice(1).forEach(([u, v, corner], i) => {
    if (corner) {
      const [nextX, nextY] = points[i + 2];
      const to = toward([u, v], [x, y]);
      const on = toward([u, v], [nextX, nextY]);
      path += `L${r(to[0])} ${r(to[1])}Q${r(u)} ${r(v)} ${r(on[0])} ${r(on[1])}`;
      [x, y] = on;
      return;
    }
    const mid = r((x + u) / 2);
    if (Math.abs(v - y) >= 0.05) path += `C${mid} ${r(y)} ${mid} ${r(v)} ${r(u)} ${r(v)}`;
    else if (Math.abs(u - x) >= 0.05) path += `H${r(u)}`;
    [x, y] = [u, v];
  });
  return path;
};

/** A point near `a` on the way to `b`: where the rounding of a corner begins. */
function toward(a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = Math.hypot(dx, dy) || 1;
  const step = Math.min(ROUND, length / 2);
  return [a[0] + (dx * step) / length, a[1] + (dy * step) / length];
}
