// A part of the script of settle.py: styles, and what moves.
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
