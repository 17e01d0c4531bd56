// Long drawings are set in rows, as text is in lines: what would be a ribbon fits on a screen.
//
// A row ends where few links pass.  These go on around its right end, through the gutter below it,
// and enter the next row from the left; nested one in the other, they never cross.

const LONGEST = 2200; // pixels of a drawing that stays in one row
const SHORTEST = 1100; // of a row
const ASPECT = 2.2; // width : height of what one tries to come near to
const MOST_PASSING = 6; // links around the end of a row
const LANE = 9; // between two links on their way around
const GUTTER = 26; // between two rows, besides the lanes

/**
 * Give every item its row, and move it there: `item.row`, x, y, from, to.
 *
 * `columns` have their x and y as if in one row; `extent[c]` is [left, right] of column c.
 * Returns the rows: {first, last, left, right, top, bottom, passing}.
 */
app.wrap = (columns, links, extent) => {
  const rows = breakRows(columns, extent);
  rows.forEach((row, r) => {
    for (let c = row.first; c <= row.last; c += 1) for (const item of columns[c]) item.row = r;
  });
  findPassing(rows, links);
  let top = 0;
  for (const row of rows) {
    moveRow(row, columns.slice(row.first, row.last + 1).flat(), top);
    top = row.bottom + GUTTER + LANE * row.passing.length;
  }
  return rows;
};

// ---------------------------------------------------------------------------- where rows end

function breakRows(columns, extent) {
  const whole = { first: 0, last: columns.length - 1 };
  if (!columns.length) return [];
  const width = extent.at(-1)[1];
  if (width <= LONGEST) return [whole];
  const count = Math.min(Math.floor(width / SHORTEST), Math.round(Math.sqrt(
    width / (ASPECT * (heightOf(columns) + GUTTER)))));
  const rows = [];
  let first = 0;
  while (rows.length < count - 1) {
    const aim = extent[first][0] + (width - extent[first][0]) / (count - rows.length);
    const last = bestEnd(columns, extent, first, aim);
    if (last === null) break;
    rows.push({ first, last });
    first = last + 1;
  }
  return [...rows, { ...whole, first }];
}

/** The tallest column: a drawing that goes down like a staircase is no higher once in rows. */
function heightOf(columns) {
  return columns.reduce((most, column) => Math.max(most, column.length
    && column.at(-1).y + column.at(-1).reach - column[0].y + column[0].reach), 0);
}

/** The column after which a row best ends: near `aim`, where few links pass; null for nowhere. */
function bestEnd(columns, extent, first, aim) {
  const wanted = aim - extent[first][0];
  let best = null;
  let least = Infinity;
  // Odd columns hold one bend of every link that passes, and so the label stays with its tail.
  for (let c = first + 1 - (first % 2); c < columns.length - 2; c += 2) {
    const passing = columns[c].length;
    const off = Math.abs(extent[c][1] - aim);
    if (passing > MOST_PASSING || off > 0.45 * wanted) continue;
    const cost = off + 0.06 * wanted * passing;
    if (cost < least) [best, least] = [c, cost];
  }
  return best;
}

// ---------------------------------------------------------------------------- rows and lanes

/** The links that pass from each row to the next, from top to bottom. */
function findPassing(rows, links) {
  for (const row of rows) row.passing = [];
  for (const link of links) {
    link.stops.forEach((stop, i) => {
      const next = link.stops[i + 1];
      if (next && next.row !== stop.row) rows[stop.row].passing.push([stop.y, link]);
    });
  }
  for (const row of rows) {
    row.passing.sort((a, b) => a[0] - b[0]);
    row.passing = row.passing.map(([, link]) => link);
  }
  rows.forEach((row, r) => { row.arriving = r ? rows[r - 1].passing.length : 0; });
}

function moveRow(row, items, top) {
  const high = items.reduce((y, i) => Math.min(y, i.y - i.reach), Infinity);
  const start = items.reduce((x, i) => Math.min(x, i.from), Infinity);
  // Lanes that come from the row above have their room at the left.
  const indent = row.arriving ? LANE * row.arriving + 16 : 0;
  for (const item of items) {
    for (const side of ["x", "from", "to"]) item[side] += indent - start;
    item.y += top - high;
  }
  row.left = indent;
  row.right = items.reduce((x, i) => Math.max(x, i.to), 0);
  row.top = top;
  row.bottom = items.reduce((y, i) => Math.max(y, i.y + i.reach), top);
}

/** The corners of a link's way around the end of its row, to the height `y` in the next one. */
app.around = (rows, link, r, from, y) => {
  const row = rows[r];
  const outer = row.passing.length - 1 - row.passing.indexOf(link); // the topmost goes outermost
  const right = row.right + 12 + LANE * outer;
  const gutter = row.bottom + GUTTER / 2 + LANE * outer;
  // The lowest in the gutter turns in first: what is outside of it there passes left of it.
  const left = rows[r + 1].left - 14 - LANE * (row.passing.length - 1 - outer);
  return [[right, from], [right, gutter], [left, gutter], [left, y]].map((p) => [...p, "corner"]);
};

/** How far a row reaches to the right, its lanes included. */
app.rowEnd = (row) => row.right + (row.passing.length ? 14 + LANE * row.passing.length : 0);
