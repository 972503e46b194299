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
const named = (element) => {
  const classes = typeof element.className === "string" ? element.className.trim().split(/\s+/).slice(0, 2) : [];
  return [element.localName, element.id && `#${element.id}`, ...classes.filter(Boolean).map((name) => `.${name}`)].join("");
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

// Style

const CARET = ":focus { caret-color: transparent !important }";
const HIDDEN = options.hide.map((selector) => `${selector} { visibility: hidden !important }`);
const isEdited = (element) =>
  element && (element.isContentEditable || element.localName === "textarea" || element.localName === "input");
const sheets = new WeakMap();
function addStyle(root) {
  // An adopted style sheet is no inline style that the page's security policy might forbid.
  if (sheets.has(root)) return;
  const rules = [...HIDDEN, options.style, options.scrollbars].filter(Boolean);
  if (!rules.length && !isEdited(root.activeElement)) return;
  rules.push(CARET);
  const sheet = new (viewOf(root).CSSStyleSheet)();
  sheet.replaceSync(rules.join("\n"));
  sheets.set(root, sheet);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  undos.push(() => {
    root.adoptedStyleSheets = root.adoptedStyleSheets.filter((other) => other !== sheet);
  });
}

// Movement

const stopped = new Set();
function stopAnimations(root) {
  const animations = root.getAnimations?.() ?? [];
  let isMoving = false;
  for (const animation of animations) {
    // Those that a scroll position drives stand still by themselves.
    if (animation.playState !== "running" || !(animation.timeline instanceof viewOf(root).DocumentTimeline)) continue;
    isMoving = true;
    const end = animation.effect?.getComputedTiming().endTime ?? 0;
    try {
      if (Number.isFinite(Number(end)) && animation.playbackRate > 0) {
        animation.finish();
        continue;
      }
    } catch {}
    const time = animation.currentTime;
    animation.cancel();
    if (stopped.has(animation)) continue;
    stopped.add(animation);
    undos.push(() => {
      if (animation.playState !== "idle" || animation.effect?.target?.isConnected === false) return;
      animation.play();
      animation.currentTime = time;
    });
  }
  return isMoving;
}
// When a drawn animation ends, in seconds of its drawing; not at all for those that are endless or wait for an event.
function endOf(element) {
  const count = element.getAttribute("repeatCount") ?? 1;
  try {
    return element.getStartTime() + element.getSimpleDuration() * Number(count);
  } catch {
    return NaN;
  }
}
// A browser that is told to leave images still holds these drawings at their beginning, and sets no other time.
function drawEnd(element) {
  const target = element.targetElement;
  const name = element.getAttribute("attributeName");
  const last = element.getAttribute("values")?.split(";").filter((value) => value.trim()).at(-1);
  const value = last ?? element.getAttribute("to");
  if (!target || !name || value === null || element.getAttribute("fill") !== "freeze") return;
  const before = target.getAttribute(name);
  target.setAttribute(name, element.localName === "animateTransform" ? `${element.getAttribute("type")}(${value})` : value);
  undos.push(() => (before === null ? target.removeAttribute(name) : target.setAttribute(name, before)));
}
const drawn = new WeakSet();
function stopDrawings(root) {
  for (const svg of root.querySelectorAll("svg")) {
    if (svg.ownerSVGElement || drawn.has(svg)) continue;
    const moving = [...svg.querySelectorAll("animate, animateMotion, animateTransform, set")];
    if (!moving.length) continue;
    drawn.add(svg);
    const finite = moving.filter((element) => Number.isFinite(endOf(element)));
    const time = svg.getCurrentTime();
    if (!svg.animationsPaused()) {
      svg.pauseAnimations();
      svg.setCurrentTime(Math.max(0, ...finite.map(endOf)));
      undos.push(() => {
        svg.setCurrentTime(time);
        svg.unpauseAnimations();
      });
    } else if (time === 0) finite.forEach(drawEnd);
  }
}
function stopFilms(root) {
  for (const film of root.querySelectorAll("video, audio")) {
    if (film.paused) continue;
    const time = film.currentTime;
    film.pause();
    film.currentTime = 0;
    undos.push(() => {
      film.currentTime = time;
      film.play().catch(() => {});
    });
  }
}

// Loading

const decoded = new WeakMap();
const backgrounds = new Map();
function* loadingImages(root) {
  for (const image of root.querySelectorAll("img")) {
    if (image.loading === "lazy") {
      image.loading = "eager";
      undos.push(() => {
        image.loading = "lazy";
      });
    }
    if (!image.complete) yield `image ${shown(image.currentSrc || image.src)}`;
    else if (image.naturalWidth && decoded.get(image)?.src !== image.currentSrc) {
      const state = { src: image.currentSrc, isDone: false };
      decoded.set(image, state);
      const done = () => {
        state.isDone = true;
      };
      image.decode().then(done, done);
    }
    if (decoded.get(image)?.isDone === false) yield `image ${shown(image.currentSrc)} (being decoded)`;
  }
}
function askForBackgrounds(root) {
  const view = viewOf(root);
  for (const element of root.querySelectorAll("*"))
    for (const pseudo of [null, "::before", "::after"]) {
      const style = view.getComputedStyle(element, pseudo);
      if (pseudo && style.content === "none") continue;
      for (const value of [style.backgroundImage, style.maskImage, style.borderImageSource]) {
        if (!value || value === "none") continue;
        for (const [, , url] of value.matchAll(/url\((["']?)(.*?)\1\)/g)) {
          if (url.startsWith("data:") || url.startsWith("#") || backgrounds.has(url)) continue;
          // Another image of that address: it comes from the memory of the browser, as soon as the first one is there.
          const image = new view.Image();
          const state = { isDone: false };
          backgrounds.set(url, state);
          image.onload = image.onerror = () => {
            state.isDone = true;
          };
          image.src = url;
        }
      }
    }
}
function* loadingSheets(root) {
  for (const link of root.querySelectorAll("link[rel~=stylesheet i]")) {
    if (link.sheet || link.disabled || !link.href || link.relList.contains("alternate")) continue;
    if (link.type && link.type !== "text/css") continue;
    if (!performance.getEntriesByName(link.href).length) yield `style sheet ${shown(link.href)}`;
  }
}
function* loadingOf(root) {
  const view = viewOf(root);
  if (root.nodeType === Node.DOCUMENT_NODE) {
    if (root.readyState !== "complete") yield `document ${shown(root.URL)}`;
    if (root.fonts?.status === "loading") {
      const loading = [...root.fonts].filter((font) => font.status === "loading").map((font) => font.family);
      yield `font ${[...new Set(loading)].join(", ") || "(being laid out)"}`;
    }
    const inner = view[Symbol.for("testkit.watch")];
    for (const { what, url } of inner?.requests.values() ?? [])
      if (!options.background.some((part) => url.includes(part))) yield `${what} ${shown(url)}`;
  }
  yield* loadingImages(root);
  yield* loadingSheets(root);
}
function* soonTimers() {
  // A page that sets one timer after the other is never done: it gets its time once.
  if (!watch || (watch.waited ?? 0) >= TIMER) return;
  for (const { delay, due } of watch.timers.values())
    if (delay <= TIMER && due - natives.now() > -50) yield `timer of ${delay} ms`;
}
function isAwaited() {
  if (!options.waitFor) return true;
  return [...document.querySelectorAll(options.waitFor)].some((element) =>
    element.checkVisibility ? element.checkVisibility({ visibilityProperty: true }) : element.getClientRects().length > 0,
  );
}

// Time

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
    for (const [url, { isDone }] of backgrounds) if (!isDone) pending.push(`background ${shown(url)}`);
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
