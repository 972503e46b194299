// What is shown, and the keyboard.
const VIEWS = {
  failures: { has: () => true, show: showFailures, count: () => failing.length },
  tests: {
    has: () => true,
    show: (section) => {
      table = new TestTable(section);
      table.filter();
    },
    count: () => T.count,
  },
  flaky: { has: () => T.flaky.length > 0, show: showFlaky, count: () => T.flaky.length },
  workers: { has: () => data.timeline.lanes !== undefined, show: showWorkers },
  times: { has: () => rows.some(hasRun) && data.timeline.lanes !== undefined, show: showTimes },
  queries: {
    has: () => data.requests.length > 0,
    show: showQueries,
    count: () => data.requests.filter((each) => each.state === "over").length,
  },
  routes: {
    has: () => data.routes.rows !== undefined,
    show: showRoutes,
    count: () => (data.routes.whole && data.routes.figures.untested) || 0,
  },
  coverage: {
    has: () => Object.keys(data.coverage).length > 0,
    show: showCoverage,
    text: () => (typeof data.coverage.percent === "number" ? percent(data.coverage.percent) : ""),
  },
  run: { has: () => true, show: showRun },
};
const sectionOf = (name) => one(`#view-${name}`); // not the name itself, to which the browser would scroll
const root = document.documentElement;
let table = null;
let current = "";
root.classList.remove("no-js");

const names = Object.keys(VIEWS).filter((name) => VIEWS[name].has());
for (const anchor of all("nav [data-view]")) {
  const name = anchor.dataset.view;
  anchor.parentElement.hidden = !names.includes(name);
  const text = VIEWS[name].text ? VIEWS[name].text() : VIEWS[name].count && VIEWS[name].count() ? number(VIEWS[name].count()) : "";
  if (text) anchor.append(" ", h("span", { class: `number${name === "failures" ? " bad" : ""}` }, text));
}

function fillView(name) {
  const section = sectionOf(name);
  if (section.dataset.filled === undefined) {
    section.dataset.filled = "";
    section.hidden = false; // what is drawn measures itself
    VIEWS[name].show(section);
  }
  return section;
}

function view(name, { keep = true } = {}) {
  if (name === current) return;
  current = name;
  for (const anchor of all("nav [data-view]")) {
    if (anchor.dataset.view === name) {
      anchor.setAttribute("aria-current", "page");
      anchor.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else anchor.removeAttribute("aria-current");
  }
  for (const other of names) if (other !== name) sectionOf(other).hidden = true;
  fillView(name).hidden = false;
  scrollTo(0, 0);
  if (name === "tests") {
    table.drawn = "";
    table.draw();
  }
  if (keep) remember();
}

// Where the reader was is in the address, so that a reload or a link comes back to it.
function remember() {
  const kept = new URLSearchParams();
  if (current === "tests" && table) {
    if (table.search.value) kept.set("q", table.search.value);
    if (table.states.size) kept.set("outcome", [...table.states].join(","));
    if (table.worker) kept.set("worker", table.worker);
    if (table.sort !== "outcome" || table.falls) kept.set("sort", `${table.falls ? "-" : ""}${table.sort}`);
  }
  const address = `#${current}${kept.size ? `?${kept}` : ""}`;
  try {
    if (location.hash !== address) history.replaceState(null, "", address);
  } catch {
    /* a browser may refuse it for files */
  }
}

function recall() {
  const [name, query = ""] = location.hash.slice(1).split("?");
  if (name === "main") return;
  view(names.includes(name) ? name : failing.length ? "failures" : "tests", { keep: false });
  if (current !== "tests" || !query) return;
  const kept = new URLSearchParams(query);
  table.search.value = kept.get("q") || "";
  const outcomes = (kept.get("outcome") || "").split(",");
  for (const chip of table.chips) chip.setAttribute("aria-pressed", String(outcomes.includes(chip.dataset.outcome)));
  if (table.workers) table.workers.value = kept.get("worker") || "";
  const sort = (kept.get("sort") || "").replace("-", "");
  if (sort in SORTS) [table.sort, table.falls, table.order] = [sort, kept.get("sort").startsWith("-"), null];
  table.read();
}

function searchTests(text) {
  view("tests");
  table.search.value = text;
  table.read();
  table.search.focus();
}

// Colours
const THEMES = ["", "light", "dark"];
const THEME_WORDS = { "": "as the system has them", light: "light", dark: "dark" };
function setTheme(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  one("#theme").setAttribute("aria-label", `Colours: ${THEME_WORDS[theme]}`);
  one("#theme").title = `Colours: ${THEME_WORDS[theme]}`;
  try {
    localStorage.setItem("testkit-theme", theme);
  } catch {
    /* no storage here */
  }
}
function nextTheme() {
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const order = isDark ? ["", "light", "dark"] : ["", "dark", "light"]; // the first press changes something
  setTheme(order[(order.indexOf(root.dataset.theme || "") + 1) % order.length]);
  say(`Colours: ${THEME_WORDS[root.dataset.theme || ""]}.`);
}
try {
  const kept = localStorage.getItem("testkit-theme");
  if (THEMES.includes(kept)) setTheme(kept);
} catch {
  /* no storage here */
}

function stepBy(key) {
  if (current === "tests") return table.onKey(key);
  return !one("#detail").open && stepCards(key === "j" ? 1 : -1);
}

function stepCards(by) {
  const cards = all(".card > summary", sectionOf(current));
  if (!cards.length) return false;
  const at = cards.findIndex((card) => card.parentElement.contains(document.activeElement));
  const next = cards[Math.max(0, Math.min(cards.length - 1, at < 0 ? (by > 0 ? 0 : cards.length - 1) : at + by))];
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  return true;
}

function copyCurrent() {
  const row = one("#detail").open
    ? one("#detail").dataset.row
    : (document.activeElement?.closest("[data-row]")?.dataset.row ??
      (current === "tests" && table.shown.length ? table.shown[table.current] : undefined));
  const command = row !== undefined && commandOf(Number(row));
  if (!command) return;
  copy(command);
  say("Copied the command.");
}

const keys = one("#keys");
try {
  keys.checked = localStorage.getItem("testkit-keys") !== "off";
} catch {
  /* no storage here */
}
keys.addEventListener("change", () => {
  try {
    localStorage.setItem("testkit-keys", keys.checked ? "on" : "off");
  } catch {
    /* no storage here */
  }
});

function onLetter(key) {
  if (key === "/") {
    view("tests");
    table.search.focus();
    table.search.select();
  } else if (key === "?") one("#help").showModal();
  else if (key === "t") nextTheme();
  else if (key === "c") copyCurrent();
  else if (key === "j" || key === "k") return stepBy(key);
  else if (/^[1-9]$/.test(key) && names[key - 1]) view(names[key - 1]);
  else return false;
  return true;
}

const IN_SHEET = new Set(["j", "k", "c"]); // letters that mean something while a test is open
const isForTable = (target) => current === "tests" && (target === document.body || target.closest(".scroll")) && !target.closest("th");

function onSearchKey(event) {
  if (event.key === "ArrowDown" || event.key === "Enter") {
    event.preventDefault();
    table.point(table.current);
  } else if (event.key === "Escape" && !event.target.value) event.target.blur();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || one("#help").open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.target === table?.search) onSearchKey(event);
    return;
  }
  const isSheet = one("#detail").open;
  const isLetter = event.key.length === 1;
  const isTaken = isLetter
    ? keys.checked && (!isSheet || IN_SHEET.has(event.key)) && onLetter(event.key)
    : !isSheet && isForTable(event.target) && table.onKey(event.key);
  if (isTaken) event.preventDefault();
});

// Events
one("nav").addEventListener("click", (event) => {
  const anchor = event.target.closest("[data-view]");
  if (!anchor || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  view(anchor.dataset.view);
});
addEventListener("hashchange", recall);
one("#theme").addEventListener("click", nextTheme);
one("#help-open").addEventListener("click", () => one("#help").showModal());
one("#detail").addEventListener("close", () => {
  afterSheet?.();
  afterSheet = null;
});
one("#detail").addEventListener("click", (event) => {
  if (event.target === one("#detail")) one("#detail").close();
});
const time = one("time");
if (time) time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

// On paper everything is there, but for the table of all tests.
addEventListener("beforeprint", () => {
  for (const name of names) if (name !== "tests") fillView(name);
  for (const name of names) sectionOf(name).hidden = false;
  for (const card of all("#view-failures .card, #view-flaky .card")) {
    card.open = true;
    card.fill(); // its own event would come too late
  }
});
addEventListener("afterprint", () => {
  for (const name of names) sectionOf(name).hidden = name !== current;
});

recall();
root.dataset.ready = "";
