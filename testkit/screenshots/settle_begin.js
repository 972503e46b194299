// Brings the page to rest, as the function body of one asynchronous WebDriver script: arguments are the options and the
// callback. It answers {pending: [what was still going on], undo: whether something is to be undone}.
"use strict";
const [options, answer] = arguments;
const UNDO = Symbol.for("testkit.undo");
const watch = window[Symbol.for("testkit.watch")];
const natives = watch?.natives ?? {
  now: performance.now.bind(performance),
  setTimeout: window.setTimeout.bind(window),
  requestAnimationFrame: window.requestAnimationFrame.bind(window),
};
// How long timers of the page are waited for: those that are short, and of each document for so long in all.
const TIMER = 1000;
const began = natives.now();
const elapsed = () => natives.now() - began;

window[UNDO]?.();
const undos = [];
window[UNDO] = () => {
  delete window[UNDO];
  for (const undo of undos.reverse()) undo();
};

const shown = (url) => {
  const { origin, href } = location;
  const whole = String(new URL(url || "", href));
  return (whole.startsWith(`${origin}/`) ? whole.slice(origin.length) : whole).slice(0, 200);
};

// The documents of the page that can be looked into, and the shadow trees in them.
function* rootsOf(root) {
  yield root;
  for (const element of root.querySelectorAll("*")) {
    if (element.shadowRoot) yield* rootsOf(element.shadowRoot);
    if (element.localName !== "iframe" && element.localName !== "frame") continue;
    let inner = null;
    try {
      inner = element.contentDocument;
    } catch {}
    if (inner?.documentElement) yield* rootsOf(inner);
  }
}
const documentOf = (root) => root.ownerDocument ?? root;
const viewOf = (root) => documentOf(root).defaultView;
