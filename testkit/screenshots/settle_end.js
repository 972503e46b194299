// The last part of the script of settle.py: time, and what is done in which order.
const later = (milliseconds) => new Promise((done) => natives.setTimeout(done, milliseconds));
// A frame, and what it has called: handlers of a new size, observers. Windows that are not drawn have no frames.
const frame = () =>
  new Promise((done) => {
    const end = () => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        done();
      };
      port2.postMessage(0);
    };
    natives.requestAnimationFrame(end);
    natives.setTimeout(end, 200);
  });
async function lookThrough() {
  // Scripts load what comes into view: all of it comes into view, once for each width.
  if (!watch?.isObserving || (watch.seen ??= new Set()).has(innerWidth)) return;
  watch.seen.add(innerWidth);
  const [left, top, end] = [scrollX, scrollY, document.documentElement.scrollHeight];
  const to = (y) => window.scrollTo({ left, top: y, behavior: "instant" });
  for (let y = 0; y < end - innerHeight && elapsed() < options.timeout; y += innerHeight) {
    to(y + innerHeight);
    await frame();
  }
  to(top);
  await frame();
}

function look(roots) {
  const pending = [];
  let isMoving = false;
  for (const root of roots) {
    addStyle(root);
    isMoving = stopAnimations(root) || isMoving;
    stopDrawings(root);
    stopFilms(root);
    pending.push(...loadingOf(root));
  }
  if (!pending.length) {
    for (const root of roots) askForBackgrounds(root);
    for (const [url, { isDone }] of kept.backgrounds) if (!isDone) pending.push(`background ${shown(url)}`);
  }
  if (!isAwaited()) pending.push(`wait_for ${options.waitFor}`);
  return [pending, isMoving];
}

async function settle() {
  for (const selector of options.hide) document.querySelector(selector); // raises for what is none
  await frame();
  await lookThrough();
  for (let rounds = 0; ; ) {
    const roots = [...rootsOf(document)];
    for (const root of roots) while (viewOf(root)[Symbol.for("testkit.freeze")]?.run?.());
    const [pending, isMoving] = look(roots);
    const timers = pending.length ? [] : [...soonTimers()];
    if (!pending.length && !timers.length && (!isMoving || ++rounds > 20)) return [];
    if (elapsed() > options.timeout) return pending;
    const before = natives.now();
    if (pending.length || timers.length) await later(10);
    await frame();
    if (timers.length) watch.waited = (watch.waited ?? 0) + natives.now() - before;
  }
}

settle().then(
  (pending) => answer({ pending, undo: undos.length > 0 }),
  (error) => answer({ error: String(error), undo: undos.length > 0 }),
);
