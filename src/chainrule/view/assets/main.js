// Starts every part of the page, in the order of the files, and then tells of the first state.

const report = (name, error) => {
  // One part that fails must not take the drawing with it; the console still says which one.
  console.error(`${name}: ${error.stack ?? error}`);
};

for (const [name, start] of Object.entries(app.start)) {
  try {
    start();
  } catch (error) {
    report(name, error);
  }
}

window.chainrule = app;
document.body.dataset.mode = app.state.mode;
document.body.dataset.ready = "true";
