"use strict";
// The page works without a server; with one, `data-served` is set and new images can be approved.
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));
  const one = (selector, from = document) => from.querySelector(selector);
  const body = document.body;
  const isServed = "served" in root.dataset;
  const shots = all(".shot");
  const chips = all(".chip");
  const search = one("#search");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const MODES = all("[data-mode]", one("#views")).map((button) => button.dataset.mode);
  const ZOOMS = ["fit", "100", "200"];
  let here = null;
  let blinkShows = "new";
  let isHeld = false;

  root.classList.remove("no-js");

  const say = (text) => { one("#said").textContent = text; };
  const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;

  // Sizes: in style attributes the policy of the page would refuse them.
  for (const shot of shots) {
    const { width, height } = shot.dataset;
    const stage = one(".stage", shot);
    shot.style.setProperty("--grow", Math.max(width, 160));
    shot.style.setProperty("--most", `${Number(width) + 20}px`);
    stage.style.setProperty("--w", `${width}px`);
    stage.style.setProperty("--ratio", `${width} / ${height}`);
    for (const image of all("img", stage)) {
      image.style.setProperty("--share", `${(100 * image.getAttribute("width")) / width}%`);
      image.addEventListener("error", () => { image.dataset.broken = ""; show(shot); });
      if (image.complete && !image.naturalWidth) image.dataset.broken = "";
    }
    if ("top" in shot.dataset) markChange(shot, stage);
    const slider = one(".slider", shot);
    if (slider) slider.addEventListener("input", () => stage.style.setProperty("--at", `${slider.value}%`));
  }

  function markChange(shot, stage) {
    const { top, bottom, height } = shot.dataset;
    const mark = document.createElement("span");
    mark.className = "where";
    mark.style.top = `${(100 * top) / height}%`;
    mark.style.height = `${(100 * (bottom - top)) / height}%`;
    stage.append(mark);
  }

  // What a shot shows in a mode, as far as it has the images.
  function pictures(shot, mode) {
    const has = (kind) => one(`img.${kind}:not([data-broken])`, shot) !== null;
    const [before, fresh, diff] = ["before", "new", "diff"].map(has);
    const comparable = before && fresh;
    if (shot.dataset.state === "passed") return before ? ["before"] : [];
    if (mode === "baseline") return before ? ["before"] : [];
    if (mode === "new") return fresh ? ["new"] : [];
    if (mode === "diff" && diff) return ["diff"];
    if (mode === "slider" && comparable && one(".slider", shot)) return ["before", "new", "slider"];
    if (mode === "blink" && comparable) return [blinkShows];
    return fresh ? ["new"] : before ? ["before"] : [];
  }

  const TAGS = { before: "baseline", new: "new" };
  const NOTHING = { baseline: "There is no baseline that can be shown.", new: "There is no new image." };

  function show(shot) {
    const mode = body.dataset.mode;
    const shown = pictures(shot, mode);
    const frame = one(".frame", shot);
    const nothing = one(".nothing", shot);
    frame.dataset.show = shown.join(" ");
    // Said only where the mode and the state do not tell it.
    const blinks = mode === "blink" && one(".slider", shot);
    one(".tag", shot).textContent = shown.includes("slider") ? "baseline ↔ new" : blinks ? TAGS[shown[0]] : "";
    nothing.hidden = shown.length > 0;
    one(".stage", shot).hidden = shown.length === 0;
    if (!shown.length) {
      nothing.textContent = shot.dataset.state === "passed" ? "Equal to its baseline, which is not in this folder." : NOTHING[mode] || "There is no image that can be shown.";
    }
  }

  const visible = () => shots.filter((shot) => !shot.hidden);

  function choose(group, key, value) {
    body.dataset[key] = value;
    for (const button of all(`[data-${key}]`, group)) button.setAttribute("aria-pressed", String(button.dataset[key] === value));
    remember();
  }

  function setMode(mode) {
    isHeld = false;
    choose(one("#views"), "mode", mode);
    shots.forEach(show);
  }

  function setZoom(zoom) {
    const kept = here;
    choose(one("#views"), "zoom", zoom);
    visible().forEach(scrollToChange);
    if (kept) kept.scrollIntoView({ block: "nearest" });
  }

  // The frame shows the change, however far down the image it is.
  function scrollToChange(shot) {
    if (!("top" in shot.dataset)) return;
    const frame = one(".frame", shot);
    const scale = one(".stage", shot).clientHeight / shot.dataset.height;
    const [top, bottom] = [shot.dataset.top * scale, shot.dataset.bottom * scale];
    const around = Math.max(12, (frame.clientHeight - (bottom - top)) / 2); // its middle, or its beginning
    frame.scrollTop = Math.max(0, top - around);
  }

  function filter() {
    const states = new Set(chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.state));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const shot of shots) {
      const state = shot.dataset.was || shot.dataset.state;
      shot.hidden = !states.has(state) || !words.every((word) => shot.dataset.text.includes(word));
    }
    for (const group of all(".group")) group.hidden = !one(".shot:not([hidden])", group);
    if (here && here.hidden) point(null);
    one("#empty").hidden = visible().length > 0;
    if (shots.length) {
      const passed = shots.filter((shot) => shot.dataset.state === "passed").length;
      one("#empty").textContent = passed === shots.length ? `Nothing to review: ${passed === 1 ? "the one screenshot equals its" : `all ${passed} screenshots equal their`} baseline${passed === 1 ? "" : "s"}.` : "No screenshot passes these filters.";
    }
    countShown();
    remember();
  }

  // Where the page was is kept in its address, so that a reload or a link comes back to it.
  function remember() {
    const kept = new URLSearchParams();
    kept.set("view", body.dataset.mode);
    kept.set("zoom", body.dataset.zoom);
    kept.set("states", chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.state).join(","));
    if (search.value) kept.set("q", search.value);
    try { history.replaceState(null, "", `#${kept}`); } catch { /* a browser may refuse it for files */ }
  }

  function recall() {
    const kept = new URLSearchParams(location.hash.slice(1));
    if (MODES.includes(kept.get("view"))) body.dataset.mode = kept.get("view");
    if (ZOOMS.includes(kept.get("zoom"))) body.dataset.zoom = kept.get("zoom");
    if (kept.has("states")) {
      const states = kept.get("states").split(",");
      for (const chip of chips) chip.setAttribute("aria-pressed", String(states.includes(chip.dataset.state)));
    }
    search.value = kept.get("q") || "";
  }

  // The screenshot that the keys are for.
  function point(shot, { focus = false } = {}) {
    if (here) here.classList.remove("here");
    here = shot;
    if (!shot) return;
    shot.classList.add("here");
    if (focus) {
      shot.focus({ preventScroll: true });
      shot.scrollIntoView({ block: shot.offsetHeight > innerHeight ? "start" : "nearest" });
    }
  }

  function step(by) {
    const list = visible();
    if (!list.length) return;
    const at = list.indexOf(here);
    point(list[at < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, at + by))], { focus: true });
  }

  function widen(shot) {
    const isAlone = shot.classList.toggle("alone");
    one(".widen", shot).setAttribute("aria-pressed", String(isAlone));
    scrollToChange(shot);
    shot.scrollIntoView({ block: "start" });
  }

  // Blinking: a second for each image; with reduced motion only by the key or a press.
  function blink() {
    blinkShows = blinkShows === "new" ? "before" : "new";
    visible().forEach(show);
  }
  setInterval(() => {
    if (body.dataset.mode === "blink" && !isHeld && !calm.matches && !document.hidden) blink();
  }, 800);
  const hold = () => {
    if (body.dataset.mode !== "blink") return;
    isHeld = true;
    blink();
  };

  // Approving
  const canApprove = (shot) => "approvable" in shot.dataset;
  function countShown() {
    const button = one("#approve-shown");
    const number = visible().filter(canApprove).length;
    if (button) {
      button.hidden = number === 0;
      button.textContent = `Approve all shown (${number})`;
    }
    for (const group of all(".group")) {
      const whole = one(".approve-name", group);
      const left = all(".shot", group).filter(canApprove).length;
      if (whole) {
        whole.hidden = left < 2;
        whole.textContent = `Approve all ${left}`;
      }
    }
    for (const chip of chips) one(".number", chip).textContent = shots.filter((shot) => shot.dataset.state === chip.dataset.state).length;
  }

  function complain(text) {
    const notice = one("#notice");
    notice.hidden = false;
    one("p", notice).textContent = text;
    notice.scrollIntoView({ block: "nearest" });
  }

  async function approve(list) {
    const wanted = list.filter(canApprove);
    if (!isServed || !wanted.length) return;
    const buttons = wanted.map((shot) => one(".approve", shot)).filter(Boolean);
    for (const button of buttons) button.disabled = true;
    let answer;
    try {
      const response = await fetch("approve", {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Testkit-Token": location.pathname.split("/")[1] },
        body: JSON.stringify({ ids: wanted.map((shot) => shot.dataset.id) }),
      });
      answer = await response.json();
      if (!response.ok) throw new Error(answer.error);
    } catch (error) {
      for (const button of buttons) button.disabled = false;
      complain(error instanceof TypeError ? "Nothing was approved: the server does not answer. Is `python -m testkit screenshots review` still running?" : `Nothing was approved: ${error.message}`);
      return;
    }
    one("#notice").hidden = true;
    const taken = wanted.filter((shot) => answer.approved.includes(shot.dataset.id));
    taken.forEach(markApproved);
    for (const button of buttons) button.disabled = false;
    if (answer.refused.length) complain(answer.refused.map((refused) => refused.why).join("\n"));
    countShown();
    say(`${plural(taken.length, "screenshot")} approved, ${shots.filter(canApprove).length} left.`);
  }

  function markApproved(shot) {
    shot.dataset.was = shot.dataset.was || shot.dataset.state;
    shot.dataset.state = "approved";
    delete shot.dataset.approvable;
    one(".word", shot).textContent = "Approved";
    const button = one(".approve", shot);
    if (button === document.activeElement) shot.focus({ preventScroll: true });
    if (button) button.remove();
  }

  const groupOf = (shot) => all(".shot", shot.closest(".group"));
  const shownOf = (shot) => groupOf(shot).filter((other) => !other.hidden);

  function approveAfterAsking(list) {
    const number = list.filter(canApprove).length;
    const sure = one("#sure");
    if (!number) return;
    one("h2", sure).textContent = `Approve ${plural(number, "screenshot")}?`;
    sure.returnValue = "no";
    sure.onclose = () => { if (sure.returnValue === "yes") approve(list); };
    sure.showModal();
  }

  // Events
  document.addEventListener("click", (event) => {
    const shot = event.target.closest(".shot");
    if (shot) point(shot);
    const button = event.target.closest("button");
    if (!button) {
      if (event.target.closest(".stage")) hold();
      return;
    }
    if (button.dataset.mode) setMode(button.dataset.mode);
    else if (button.dataset.zoom) setZoom(button.dataset.zoom);
    else if (button.classList.contains("chip")) {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
      say(`${plural(visible().length, "screenshot")} shown.`);
    } else if (button.classList.contains("widen")) widen(shot);
    else if (button.classList.contains("approve")) approve([shot]);
    else if (button.classList.contains("approve-name")) approve(all(".shot", button.closest(".group")));
    else if (button.id === "approve-shown") approveAfterAsking(visible());
    else if (button.id === "help-open") one("#help").showModal();
  });
  document.addEventListener("focusin", (event) => {
    const shot = event.target.closest(".shot");
    if (shot && shot !== here) point(shot);
  });
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); search.blur(); } });

  const keys = one("#keys");
  try { keys.checked = localStorage.getItem("testkit-keys") !== "off"; } catch { /* no storage here */ }
  keys.addEventListener("change", () => {
    try { localStorage.setItem("testkit-keys", keys.checked ? "on" : "off"); } catch { /* no storage here */ }
  });

  const KEYS = {
    j: () => step(1),
    k: () => step(-1),
    z: () => setZoom(ZOOMS[(ZOOMS.indexOf(body.dataset.zoom) + 1) % ZOOMS.length]),
    w: () => here && widen(here),
    "/": () => search.focus(),
    "?": () => one("#help").showModal(),
    " ": () => body.dataset.mode === "blink" ? hold() : undefined,
    a: () => here && approveAndGoOn(),
    A: () => here && approve(groupOf(here)),
  };
  async function approveAndGoOn() {
    const list = visible();
    const next = list.slice(list.indexOf(here) + 1).find(canApprove);
    const current = here;
    await approve([current]);
    if (!canApprove(current) && next) point(next, { focus: true });
  }

  document.addEventListener("keydown", (event) => {
    if (!keys.checked || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || one("dialog[open]")) return;
    const field = event.target.closest("input");
    if (field && field.type !== "range") return;
    const mode = MODES[Number(event.key) - 1];
    if (mode) setMode(mode);
    else if (event.key === " " && (body.dataset.mode !== "blink" || event.target.closest("button"))) return;
    else if (Object.hasOwn(KEYS, event.key)) KEYS[event.key]();
    else return;
    event.preventDefault();
  });

  const time = one("time");
  if (time) time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

  // The bar may take one line or three.
  const bar = one(".top");
  const measure = () => root.style.setProperty("--bar", `${bar.offsetHeight || one(".modes").offsetHeight + 16}px`);
  new ResizeObserver(measure).observe(bar);
  measure();

  recall();
  setMode(body.dataset.mode);
  choose(one("#views"), "zoom", body.dataset.zoom);
  filter();
  visible().forEach(scrollToChange);
})();
