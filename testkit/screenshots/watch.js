// Run in each document before the page's own scripts: notes what goes on there that nothing else tells of afterwards.
// Values are kept under a symbol, out of the sight of the page; natives are kept for when the page's clock is stopped.
(() => {
  "use strict";
  const KEY = Symbol.for("testkit.watch");
  if (window[KEY]) return;
  const natives = {
    now: performance.now.bind(performance),
    setTimeout: window.setTimeout.bind(window),
    clearTimeout: window.clearTimeout.bind(window),
    requestAnimationFrame: window.requestAnimationFrame.bind(window),
  };
  const watch = { natives, requests: new Map(), timers: new Map(), isObserving: false };
  Object.defineProperty(window, KEY, { value: watch });
  performance.setResourceTimingBufferSize?.(10000);

  let requests = 0;
  const begin = (what, url) => {
    const id = ++requests;
    watch.requests.set(id, { what, url: String(url) });
    return () => watch.requests.delete(id);
  };
  // A function in the place of another looks like that one.
  const replace = (object, name, make) => {
    const native = object?.[name];
    if (typeof native !== "function") return;
    const ours = make(native);
    Object.defineProperty(ours, "name", { value: native.name });
    Object.defineProperty(ours, "length", { value: native.length });
    ours.toString = () => Function.prototype.toString.call(native);
    Object.defineProperty(ours, "toString", { enumerable: false });
    if (native.prototype) ours.prototype = native.prototype;
    object[name] = ours;
  };

  replace(window, "fetch", (native) => function fetch(...given) {
    const request = given[0];
    const end = begin(`fetch ${given[1]?.method ?? request?.method ?? "GET"}`, request?.url ?? request);
    const promise = native.apply(this, given);
    promise.then(end, end);
    return promise;
  });
  for (const name of ["arrayBuffer", "blob", "bytes", "formData", "json", "text"])
    replace(window.Response?.prototype, name, (native) => function (...given) {
      const end = begin("the body of", this.url);
      const promise = native.apply(this, given);
      promise.then(end, end);
      return promise;
    });
  const opened = new WeakMap();
  replace(window.XMLHttpRequest?.prototype, "open", (native) => function (...given) {
    opened.set(this, given);
    return native.apply(this, given);
  });
  replace(window.XMLHttpRequest?.prototype, "send", (native) => function (...given) {
    const [method, url] = opened.get(this) ?? ["", ""];
    const end = begin(`XMLHttpRequest ${method}`, url);
    this.addEventListener("loadend", end, { once: true });
    try {
      return native.apply(this, given);
    } catch (error) {
      end();
      throw error;
    }
  });

  replace(window, "setTimeout", (native) => function setTimeout(action, delay, ...given) {
    if (typeof action !== "function") return native.call(this ?? window, action, delay, ...given);
    const id = native.call(this ?? window, function (...values) {
      watch.timers.delete(id);
      return action.apply(this, values);
    }, delay, ...given);
    watch.timers.set(id, { delay: Number(delay) || 0, due: natives.now() + (Number(delay) || 0) });
    return id;
  });
  for (const name of ["clearTimeout", "clearInterval"])
    replace(window, name, (native) => function (id) {
      watch.timers.delete(Number(id));
      return native.call(this ?? window, id);
    });
  replace(window.IntersectionObserver?.prototype, "observe", (native) => function (...given) {
    watch.isObserving = true;
    return native.apply(this, given);
  });
})();
