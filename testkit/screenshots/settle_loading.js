// A part of the script of settle.py: what is loading.
// What was seen to be there by earlier calls in this page.
const kept = (window[Symbol.for("testkit.kept")] ??= {
  decoded: new WeakMap(), // by image
  backgrounds: new Map(), // by address
  sheets: new WeakMap(), // which selectors bring backgrounds, by style sheet
});
function* loadingImages(root) {
  for (const image of root.querySelectorAll("img")) {
    if (image.loading === "lazy") image.loading = "eager"; // and stays so: it is loaded by then
    if (!image.complete) yield `image ${shown(image.currentSrc || image.src)}`;
    else if (image.naturalWidth && kept.decoded.get(image)?.src !== image.currentSrc) {
      const state = { src: image.currentSrc, isDone: false };
      kept.decoded.set(image, state);
      const done = () => {
        state.isDone = true;
      };
      image.decode().then(done, done);
    }
    if (kept.decoded.get(image)?.isDone === false) yield `image ${shown(image.currentSrc)} (being decoded)`;
  }
}
const LEAVING = 3000;
const WITH_PICTURES = /url\(|image-set\(|var\(/;
const hasPicture = (style) =>
  WITH_PICTURES.test(style.backgroundImage || style.background) ||
  WITH_PICTURES.test(style.maskImage) ||
  WITH_PICTURES.test(style.borderImageSource);
// The selectors of a style sheet's rules that may bring pictures; every element's where that cannot be known.
function selectorsOf(sheet) {
  let rules;
  try {
    rules = sheet.cssRules;
  } catch {
    return ["*"]; // another site's
  }
  const known = kept.sheets.get(sheet);
  if (known?.length === rules.length) return known.selectors;
  const selectors = [];
  const collect = (list, isNested) => {
    for (const rule of list) {
      if (rule.styleSheet) selectors.push(...selectorsOf(rule.styleSheet));
      if (rule.selectorText && hasPicture(rule.style)) selectors.push(isNested ? "*" : rule.selectorText);
      if (rule.cssRules?.length) collect(rule.cssRules, isNested || Boolean(rule.selectorText));
    }
  };
  collect(rules, false);
  kept.sheets.set(sheet, { length: rules.length, selectors });
  return selectors;
}
function askForBackgrounds(root) {
  const view = viewOf(root);
  const selectors = [...root.styleSheets, ...(root.adoptedStyleSheets ?? [])].flatMap(selectorsOf);
  selectors.push("[style*='url(']", "[style*='var(']");
  const found = new Set();
  for (const selector of new Set(selectors.map((text) => text.replace(/::?(before|after)\b/g, "").trim() || "*")))
    try {
      for (const element of root.querySelectorAll(selector)) found.add(element);
    } catch {} // of a part of an element that is none, such as ::marker
  for (const element of found) {
    for (const pseudo of [null, "::before", "::after"]) {
      const style = view.getComputedStyle(element, pseudo);
      if (pseudo && (style.content === "none" || style.content === "normal")) continue;
      for (const value of [style.backgroundImage, style.maskImage, style.borderImageSource])
        if (value && value !== "none") askForPictures(view, value);
    }
  }
}
function askForPictures(view, value) {
  for (const [, , url] of value.matchAll(/url\((["']?)(.*?)\1\)/g)) {
    if (url.startsWith("data:") || url.startsWith("#") || kept.backgrounds.has(url)) continue;
    // Another image of that address: it comes from the memory of the browser, as soon as the first one is there.
    const image = new view.Image();
    const state = { isDone: false };
    kept.backgrounds.set(url, state);
    image.onload = image.onerror = () => {
      state.isDone = true;
    };
    image.src = url;
  }
}
function* loadingSheets(root) {
  for (const link of root.querySelectorAll("link[rel~=stylesheet i]")) {
    if (link.sheet || link.disabled || !link.href || link.relList.contains("alternate")) continue;
    if (link.type && link.type !== "text/css") continue;
    if (!viewOf(root).performance.getEntriesByName(link.href).length) yield `style sheet ${shown(link.href)}`;
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
    // What turns out to be a download leads nowhere, and tells nobody.
    const leaving = inner?.leaving;
    if (leaving && inner.natives.now() - leaving.at < LEAVING) yield `document ${shown(leaving.url)}`;
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
