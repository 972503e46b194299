// All tests. Only the rows that can be seen are elements, so that ten thousand cost no more than forty.
const SORTS = {
  outcome: (row) => T.outcome.charCodeAt(row) - 48,
  test: (row) => idOf(row),
  worker: (row) => workerRank[T.worker[row]],
  queries: queriesOf,
  time: (row) => T.time[row],
};
const GRAVITY = ["failed", "error", "unexpected success", "lost", "not run", "expected failure", "skipped", "passed"];
const gravity = T.outcomes.map((outcome) => GRAVITY.indexOf(outcome));
const byNumber = [...T.workers].sort(new Intl.Collator("en", { numeric: true }).compare);
const workerRank = T.workers.map((worker) => byNumber.indexOf(worker));
const SPARE = 8; // rows above and below the ones that can be seen

class TestTable {
  constructor(section) {
    this.states = new Set();
    this.words = [];
    this.worker = "";
    this.sort = "outcome";
    this.falls = false;
    this.current = 0; // its place among the rows that are shown
    this.order = null;
    this.haystack = null;
    this.shown = rows;
    this.build(section);
  }

  build(section) {
    this.search = h("input", {
      type: "search",
      id: "search",
      placeholder: "Search tests",
      autocomplete: "off",
      spellcheck: "false",
      "aria-keyshortcuts": "/",
      input: () => this.read(),
    });
    const counts = T.outcomes.map((outcome, index) => [outcome, rows.filter((row) => T.outcome.charCodeAt(row) - 48 === index).length]);
    counts.push(["flaky", isFlaky.size]);
    this.chips = counts
      .filter(([, count]) => count)
      .map(([outcome, count]) =>
        h(
          "button",
          {
            type: "button",
            class: "chip",
            "data-outcome": outcome,
            "data-state": outcome.replaceAll(" ", "-"),
            "aria-pressed": "false",
            click: (event) => {
              const chip = event.currentTarget;
              chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
              this.read();
            },
          },
          h("span", { class: "dot", "aria-hidden": "true" }),
          outcome,
          h("span", { class: "number" }, number(count)),
        ),
      );
    this.workers =
      T.workers.length > 1 &&
      h(
        "select",
        { "aria-label": "Worker", change: () => this.read() },
        h("option", { value: "" }, "All workers"),
        T.workers.filter(Boolean).map((worker) => h("option", { value: worker }, `Worker ${worker}`)),
      );
    this.count = h("span", { class: "quiet count" });
    this.heads = Object.fromEntries(
      Object.keys(SORTS)
        .filter((key) => (key !== "queries" || T.queries.length) && (key !== "worker" || this.workers))
        .map((key) => [
          key,
          h("th", { scope: "col", class: `of-${key}` }, h("button", { type: "button", click: () => this.sortBy(key) }, key)),
        ]),
    );
    this.body = h("tbody");
    this.nothing = empty("No test is like that.");
    this.table = h(
      "table",
      { class: "tests" },
      h("caption", { class: "hidden" }, "All tests"),
      h("thead", {}, h("tr", {}, Object.values(this.heads))),
      this.body,
    );
    this.scroll = h("div", { class: "scroll", role: "group", "aria-label": "All tests", tabindex: "-1" }, this.table, this.nothing);
    this.scroll.addEventListener("scroll", () => this.draw(), { passive: true });
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest("tr[data-place]");
      if (line) this.open(Number(line.dataset.place));
    });
    new ResizeObserver(() => {
      this.drawn = "";
      this.draw();
    }).observe(this.scroll);
    section.append(
      h(
        "div",
        { class: "line filters", role: "group", "aria-label": "Filter" },
        h("label", { class: "search" }, h("span", { class: "hidden" }, "Search tests by name, description or message"), this.search),
        h("div", { class: "chips" }, this.chips),
        this.workers,
        this.count,
      ),
      this.scroll,
    );
  }

  // Reads what the filters say.
  read() {
    this.states = new Set(this.chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => chip.dataset.outcome));
    this.words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.worker = this.workers ? this.workers.value : "";
    this.filter();
    remember();
    clearTimeout(this.saying);
    this.saying = setTimeout(() => say(`${plural(this.shown.length, "test")} shown.`), 600);
  }

  sortBy(key) {
    this.falls = key === this.sort ? !this.falls : key === "time" || key === "queries";
    this.sort = key;
    this.order = null;
    this.filter();
    remember();
  }

  sorted() {
    if (this.order) return this.order;
    const key = SORTS[this.sort];
    const keys = rows.map((row) => (this.sort === "outcome" ? gravity[key(row)] : key(row)));
    const sign = this.falls ? -1 : 1;
    this.order = [...rows].sort((a, b) => (keys[a] < keys[b] ? -sign : keys[a] > keys[b] ? sign : T.class[a] - T.class[b] || a - b));
    for (const [name, head] of Object.entries(this.heads)) {
      if (name === this.sort) head.setAttribute("aria-sort", this.falls ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    return this.order;
  }

  text(row) {
    this.haystack ??= new Array(T.count);
    return (this.haystack[row] ??= `${idOf(row)} ${T.summary[row] || ""} ${messageOf(detailsOf(row))}`.toLowerCase());
  }

  filter() {
    const { states, words, worker } = this;
    this.shown = this.sorted().filter(
      (row) =>
        (!states.size || states.has(outcomeOf(row)) || (states.has("flaky") && isFlaky.has(row))) &&
        (!worker || workerOf(row) === worker) &&
        words.every((word) => this.text(row).includes(word)),
    );
    this.count.textContent = this.shown.length === T.count ? "" : `${number(this.shown.length)} of ${number(T.count)}`;
    this.table.setAttribute("aria-rowcount", this.shown.length + 1);
    this.current = 0;
    this.scroll.scrollTop = 0;
    this.drawn = "";
    this.draw();
  }

  draw() {
    const height = this.height();
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / height) - SPARE);
    const last = Math.min(this.shown.length, Math.ceil((this.scroll.scrollTop + this.scroll.clientHeight) / height) + SPARE);
    const drawn = `${first} ${last} ${this.current}`;
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const space = (count) => {
      const line = h("tr", { class: "space", "aria-hidden": "true" }, h("td"));
      line.style.height = `${count * height}px`;
      return line;
    };
    const hadFocus = this.body.contains(document.activeElement);
    const lines = [];
    for (let place = first; place < last; place += 1) lines.push(this.line(place));
    this.body.replaceChildren(
      ...(first ? [space(first)] : []),
      ...lines,
      ...(last < this.shown.length ? [space(this.shown.length - last)] : []),
    );
    if (hadFocus) this.focus();
    this.nothing.hidden = this.shown.length > 0;
  }

  line(place) {
    const row = this.shown[place];
    const outcome = outcomeOf(row);
    const isHere = place === this.current;
    const cells = {
      outcome: () => [badge(outcome), isFlaky.has(row) && badge("flaky")],
      test: () => [
        h(
          "button",
          { type: "button", class: "open", tabindex: isHere ? "0" : "-1", title: idOf(row) },
          h("span", { class: "name" }, nameOf(row)),
        ),
        h("span", { class: "holder" }, classOf(row)),
      ],
      worker: () => workerOf(row),
      queries: () => (queriesOf(row) < 0 ? "" : number(queriesOf(row))),
      time: () => (hasRun(row) ? duration(secondsOf(row)) : ""),
    };
    return h(
      "tr",
      { "data-place": place, "aria-rowindex": place + 2, class: isHere ? "here" : null },
      Object.keys(this.heads).map((key) => h("td", { class: `of-${key}` }, cells[key]())),
    );
  }

  // The keyboard's row.
  step(by) {
    if (!this.shown.length) return;
    const isOn = document.activeElement && document.activeElement.closest("tr.here");
    this.point(isOn || one("#detail").open ? Math.max(0, Math.min(this.shown.length - 1, this.current + by)) : this.current);
  }

  point(place) {
    this.current = place;
    const height = this.height();
    const [top, view] = [place * height, this.scroll.clientHeight - this.table.tHead.offsetHeight];
    if (top < this.scroll.scrollTop) this.scroll.scrollTop = top;
    else if (top + height > this.scroll.scrollTop + view) this.scroll.scrollTop = top + height - view;
    this.draw();
    this.focus();
  }

  focus() {
    one("tr.here .open", this.body)?.focus({ preventScroll: true });
  }

  height() {
    return parseFloat(getComputedStyle(this.scroll).getPropertyValue("--row")) || 44;
  }

  open(place) {
    this.point(place);
    openSheet(this.shown[place], () => this.point(this.current));
  }

  onKey(key) {
    const page = Math.max(1, Math.floor(this.scroll.clientHeight / this.height()) - 2);
    const steps = {
      ArrowDown: 1,
      j: 1,
      ArrowUp: -1,
      k: -1,
      PageDown: page,
      PageUp: -page,
      Home: -this.shown.length,
      End: this.shown.length,
    };
    if (!(key in steps)) return false;
    this.step(steps[key]);
    if (one("#detail").open) openSheet(this.shown[this.current]);
    return true;
  }
}
