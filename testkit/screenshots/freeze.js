// Run in each document before the page's own scripts, after watch.js: one time, one row of random numbers, and frames
// that are counted instead of timed. Replaced: AT, in milliseconds since 1970, and SEED; null leaves things as they are.
((at, seed) => {
  "use strict";
  const KEY = Symbol.for("testkit.freeze");
  if (window[KEY]) return;
  const frames = { waiting: new Map(), left: 0 };
  Object.defineProperty(window, KEY, { value: frames });

  if (seed !== null) {
    let state = seed >>> 0; // mulberry32, public domain
    Math.random = function random() {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
  }
  if (at === null) return;

  const NativeDate = Date;
  function FrozenDate(...given) {
    if (!new.target) return new NativeDate(at).toString();
    return Reflect.construct(NativeDate, given.length ? given : [at], new.target === FrozenDate ? NativeDate : new.target);
  }
  Object.defineProperty(FrozenDate, "name", { value: "Date" });
  Object.defineProperty(FrozenDate, "length", { value: 7 });
  FrozenDate.prototype = NativeDate.prototype;
  FrozenDate.prototype.constructor = FrozenDate;
  FrozenDate.parse = NativeDate.parse;
  FrozenDate.UTC = NativeDate.UTC;
  FrozenDate.now = function now() {
    return at;
  };
  window.Date = FrozenDate;
  const Format = window.Intl?.DateTimeFormat?.prototype;
  const format = Format && Object.getOwnPropertyDescriptor(Format, "format");
  if (format?.get)
    Object.defineProperty(Format, "format", {
      ...format,
      get() {
        const native = format.get.call(this);
        return (date) => native(date === undefined ? at : date);
      },
    });
  if (window.Temporal?.Now) {
    const instant = () => Temporal.Instant.fromEpochMilliseconds(at);
    const zoned = (zone = Temporal.Now.timeZoneId()) => instant().toZonedDateTimeISO(zone);
    Object.assign(Temporal.Now, {
      instant,
      zonedDateTimeISO: zoned,
      plainDateTimeISO: (zone) => zoned(zone).toPlainDateTime(),
      plainDateISO: (zone) => zoned(zone).toPlainDate(),
      plainTimeISO: (zone) => zoned(zone).toPlainTime(),
    });
  }

  // Frames: so many after the load and after each action of a user, each a sixtieth of a second later by the page's
  // clock. What is drawn in them is then drawn up to the same frame each time; settling hurries the rest of them.
  const FRAMES = 120;
  const FRAME = 1000 / 60;
  let count = 0;
  let calls = 0;
  let ids = 0;
  frames.left = FRAMES;
  // Each look at the clock moves it by a thousandth of a millisecond: code that waits for it comes to an end.
  performance.now = function now() {
    return count * FRAME + ++calls / 1000;
  };
  const nativeFrame = window.requestAnimationFrame.bind(window);
  frames.run = () => {
    if (!frames.waiting.size || frames.left <= 0) return false;
    frames.left -= 1;
    count += 1;
    calls = 0;
    const due = [...frames.waiting];
    for (const [id, action] of due) {
      if (!frames.waiting.delete(id)) continue; // cancelled by one before it
      try {
        action(count * FRAME);
      } catch (error) {
        window.reportError(error);
      }
    }
    return true;
  };
  let isAsked = false;
  const ask = () => {
    if (isAsked || frames.left <= 0 || !frames.waiting.size) return;
    isAsked = true;
    nativeFrame(() => {
      isAsked = false;
      frames.run();
      ask();
    });
  };
  window.requestAnimationFrame = function requestAnimationFrame(action) {
    frames.waiting.set(++ids, action);
    ask();
    return ids;
  };
  window.cancelAnimationFrame = function cancelAnimationFrame(id) {
    frames.waiting.delete(id);
  };
  for (const type of ["pointerdown", "keydown", "wheel", "touchstart", "input"])
    window.addEventListener(type, (event) => {
      if (!event.isTrusted) return;
      frames.left = FRAMES;
      ask();
    }, { capture: true, passive: true });
})(AT, SEED);
