// Where one looks: a drawing is moved by dragging, and zoomed about the cursor.

const CLOSEST = 4;
const FARTHEST = 0.02;
const MARGIN = 28;
const FAR = 0.3; // below this text cannot be read: it is not drawn either
const DRAG = 4; // pixels before a press becomes a drag

/**
 * A camera on `content`, a group inside of `svg`; `bounds()` is {width, height, start?} of
 * the content, where `start` is the height at which it begins.
 *
 * The matrix is kept here and written in one place: scale k, then shift by (x, y).
 */
app.makeCamera = (svg, content, bounds) => {
  const camera = { x: MARGIN, y: MARGIN, k: 1 };
  const size = () => ({ width: svg.clientWidth || 1, height: svg.clientHeight || 1 });

  const apply = () => {
    content.setAttribute("transform", `translate(${camera.x} ${camera.y}) scale(${camera.k})`);
    svg.classList.toggle("far", camera.k < FAR);
  };
  const clamp = (k) => Math.max(FARTHEST, Math.min(CLOSEST, k));

  Object.assign(camera, {
    apply,
    /** Zoom by a factor about a point of the stage; about its middle if none is given. */
    zoom(factor, px = size().width / 2, py = size().height / 2) {
      const k = clamp(camera.k * factor);
      camera.x = px - ((px - camera.x) * k) / camera.k;
      camera.y = py - ((py - camera.y) * k) / camera.k;
      camera.k = k;
      apply();
    },
    /** Show everything; `least` bounds how small it may get, then the left end is shown. */
    fit(least = 0) {
      const { width, height } = size();
      const room = bounds();
      const k = Math.min((width - 2 * MARGIN) / Math.max(room.width, 1),
        (height - 2 * MARGIN) / Math.max(room.height, 1), 1.4);
      camera.k = clamp(Math.max(k, least));
      const [across, down] = [camera.k * room.width, camera.k * room.height];
      camera.x = Math.max((width - across) / 2, Math.min(MARGIN, width - MARGIN - across));
      camera.y = (height - down) / 2;
      // What does not fit is shown from where it starts.
      if (across > width - 2 * MARGIN) camera.x = MARGIN;
      if (down > height - 2 * MARGIN) camera.y = height / 2 - camera.k * (room.start ?? 0);
      apply();
    },
    /** Back to the natural size, keeping the middle in the middle. */
    natural() { camera.zoom(1 / camera.k); },
    move(dx, dy) {
      camera.x += dx;
      camera.y += dy;
      apply();
    },
    /** A point of the content in pixels of the stage. */
    toStage: (x, y) => [camera.x + camera.k * x, camera.y + camera.k * y],
    /** Move as little as it takes to have a rectangle (of the content) in sight. */
    show({ x, y, width, height }) {
      const stage = size();
      if (camera.k < FAR) camera.zoom(0.8 / camera.k, ...camera.toStage(x, y));
      const [left, top] = camera.toStage(x - width / 2, y - height / 2);
      const [right, bottom] = camera.toStage(x + width / 2, y + height / 2);
      camera.move(into(left, right, stage.width), into(top, bottom, stage.height));
    },
  });
  listen(svg, camera);
  return camera;
};

/** How far to shift [from, to] so that it lies in [0, room], centred where it does not fit. */
function into(from, to, room) {
  const margin = Math.min(80, room / 6);
  if (from >= 0.4 * margin && to <= room - 0.4 * margin) return 0;
  if (to - from > room - 2 * margin) return room / 2 - (from + to) / 2;
  return from < margin ? margin - from : room - margin - to;
}

function listen(svg, camera) {
  const pressed = new Map(); // pointers that are down: two of them pinch
  let moved = 0;

  svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const box = svg.getBoundingClientRect();
    const step = Math.max(-120, Math.min(120, event.deltaY * lines));
    // Trackpads tell a pinch as a wheel with ctrl, in much smaller steps.
    const speed = event.ctrlKey ? 0.01 : 0.0022;
    camera.zoom(Math.exp(-step * speed), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  svg.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    pressed.set(event.pointerId, [event.clientX, event.clientY]);
    moved = pressed.size > 1 ? DRAG : 0;
  });
  svg.addEventListener("pointermove", (event) => {
    const last = pressed.get(event.pointerId);
    if (!last) return;
    const now = [event.clientX, event.clientY];
    const [dx, dy] = [now[0] - last[0], now[1] - last[1]];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < DRAG) return;
    // Captured only now: a captured pointer would take the click away from the box under it.
    if (!svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
    svg.classList.add("dragging");
    if (pressed.size === 2) pinch(svg, camera, pressed, event.pointerId, now);
    else camera.move(dx, dy);
    pressed.set(event.pointerId, now);
  });
  const release = (event) => {
    pressed.delete(event.pointerId);
    if (!pressed.size) svg.classList.remove("dragging");
  };
  svg.addEventListener("pointerup", release);
  svg.addEventListener("pointercancel", release);
  // The click at the end of a drag is none.
  svg.addEventListener("click", (event) => {
    if (moved >= DRAG) event.stopPropagation();
    moved = 0;
  }, true);
}

function pinch(svg, camera, pressed, moving, now) {
  const [other] = [...pressed].filter(([id]) => id !== moving).map(([, at]) => at);
  const last = pressed.get(moving);
  const reach = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]) || 1;
  const box = svg.getBoundingClientRect();
  const middle = [(now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top];
  camera.zoom(reach(now) / reach(last), ...middle);
}

// ---------------------------------------------------------------------------- keys

app.cameras = {}; // by mode

app.start.camera = () => {
  const now = () => app.cameras[app.state.mode];
  app.key(["+", "="], "zoom in", () => now()?.zoom(1.25));
  app.key(["-", "_"], "zoom out", () => now()?.zoom(0.8));
  app.key("0", "natural size", () => now()?.natural());
  app.key("f", "fit everything in", () => now()?.fit());
};
