// The other parts of the report. Each is filled when it is first shown.
const code = (text, name = null) => h("code", { class: name }, text);
const link = (row) => h("button", { type: "button", class: "open", click: () => openSheet(row) }, h("span", { class: "name" }, nameOf(row)), h("span", { class: "holder" }, classOf(row)));

function showFlaky(section) {
  section.append(head(plural(T.flaky.length, "flaky test")), note("They failed, and passed when they were tried again. Every attempt is here."),
    h("div", { class: "cards" }, T.flaky.map((row, index) => {
      const card = h("details", { class: "card", "data-row": row }, h("summary", {}, badge("flaky"), h("span", { class: "who" }, h("h3", { class: "name" }, nameOf(row)), h("span", { class: "holder" }, classOf(row))),
        h("span", { class: "why" }, messageOf((detailsOf(row).earlier || [{}])[0]))));
      const open = () => { if (card.open && card.childElementCount === 1) card.append(h("div", { class: "inside" }, metaOf(row), ...bodyOfTest(row))); };
      card.addEventListener("toggle", open);
      if (index < 3) { card.open = true; open(); }
      return card;
    })));
}

function showWorkers(section) {
  const line = data.timeline;
  const { figure: chart, draw } = timelineOf(line);
  const isOne = line.plan.workers === 1;
  section.append(head(isOne ? "One process" : plural(line.plan.workers, "worker")), orderOf(line) || note("All tests ran one after the other: their order makes no difference. What workers would make of it is below."), chart);
  if (isOne) {
    const foreseen = line.plan.foreseen.filter((each, index, list) => !index || list[index - 1].seconds - each.seconds > 0.02 * list[0].seconds);
    section.append(head("With --parallel"), note("As the queue of a parallel run would share the classes out, longest first; starting workers and their databases is not in it."), ...sortable({ label: "Foreseen durations", rows: foreseen, columns: [
      { title: "workers", value: (each) => -each.workers, show: (each) => number(each.workers), numeric: true },
      { title: "seconds", value: (each) => each.seconds, show: (each) => duration(each.seconds), numeric: true },
      { title: "at least", value: (each) => each.bound, show: (each) => duration(each.bound), numeric: true },
      { title: "what keeps it up", value: (each) => each.pole, show: (each) => (each.pole ? code(each.pole) : "") }] }));
  }
  if (line.gaps.length) section.append(head("Gaps"), note(`Nothing ran for ${duration(line.waited)} ${isOne ? "" : "of the workers' time "}in all; the longest are here.`), ...sortable({ label: "Gaps", sort: 1, rows: line.gaps, columns: [
    { title: "worker", value: (gap) => gap.worker || "the run" },
    { title: "waited", value: (gap) => gap.seconds, show: (gap) => duration(gap.seconds), numeric: true },
    { title: "from", value: (gap) => gap.start, show: (gap) => (gap.start ? duration(gap.start) : "the start"), numeric: true },
    { title: "until", value: (gap) => gap.before, show: (gap) => (gap.before ? code(gap.before) : "all others had ended") }].filter((column) => !isOne || column.title !== "worker").map((column) => column), }));
  if (data.lost_workers.length) section.append(head("Lost workers"), ...sortable({ label: "Lost workers", rows: data.lost_workers, columns: [
    { title: "worker", value: (each) => each.worker || "the run" }, { title: "why", value: (each) => each.reason }, { title: "at", value: (each) => each.running, show: (each) => code(each.running) }] }));
  draw();
  new ResizeObserver(draw).observe(one(".frame", chart));
}

function showTimes(section) {
  const ran = rows.filter(hasRun);
  const largest = Math.max(1e-9, ...data.timeline.set_ups.map(([, seconds]) => seconds));
  const slowest = [...ran].sort((a, b) => T.time[b] - T.time[a]).slice(0, 100);
  const longest = secondsOf(slowest[0]) || 1e-9;
  section.append(head("Durations"), ...(concentration(ran) ? [note(concentration(ran))] : []), durationPlot(ran), head("Slowest tests"), ...sortable({ label: "Slowest tests", sort: 0, most: 20, rows: slowest, columns: [
    { title: "time", value: (row) => T.time[row], show: (row) => [duration(secondsOf(row)), meter(secondsOf(row) / longest)], numeric: true },
    { title: "test", value: idOf, show: link, class: "grow" },
    { title: "worker", value: workerOf }].filter((column) => column.title !== "worker" || T.workers.length > 1) }));
  if (data.timeline.set_ups.length) section.append(head("What classes and modules cost to set up"), ...sortable({ label: "Set-ups", sort: 0, most: 20, rows: data.timeline.set_ups, columns: [
    { title: "time", value: ([, seconds]) => seconds, show: ([, seconds]) => [duration(seconds), meter(seconds / largest)], numeric: true },
    { title: "class or module", value: ([id]) => id, show: ([id]) => code(id, "name"), class: "grow" },
    { title: "times", value: ([, , times]) => times, numeric: true }] }));
}

const WORDS = { over: "over budget", slow: "slow", within: "within budget", without: "no budget", tested: "tested", errors: "only errors", called: "view called directly", untested: "untested" };
const GRAVITIES = { over: 0, untested: 0, slow: 1, errors: 1, called: 1, without: 2, within: 3, tested: 3, "": 4 };
const mark = (state, word = WORDS[state]) => (state ? h("span", { class: "badge", "data-state": state }, h("span", { class: "dot", "aria-hidden": "true" }), word) : "");

function showQueries(section) {
  const list = data.requests;
  const most = Math.max(1, ...list.map((each) => each.queries));
  section.append(head("Queries by route"), note(data.budgets.known ? "The most that a single request made, against its budget." : "The most that a single request made. There are no budgets: --query-budgets=record writes them."), ...sortable({ label: "Queries by route", sort: data.budgets.known ? 0 : 1, most: 100, rows: list, search: (each) => each.route, columns: [
    data.budgets.known && { title: "state", value: (each) => `${GRAVITIES[each.state]} ${-each.queries + 1e6}`, show: (each) => mark(each.state) },
    { title: "route", value: (each) => each.route, show: (each) => [code(each.route, "name"), each.word && h("span", { class: "holder" }, each.word)], class: "grow" },
    { title: "queries", value: (each) => each.queries, show: (each) => [number(each.queries), meter(each.queries / most, each.state)], numeric: true },
    list.some((each) => each.most !== null) && { title: "budget", value: (each) => each.most ?? -1, show: (each) => (each.most === null ? "–" : number(each.most)), numeric: true },
    { title: "longest", value: (each) => each.ms, show: (each) => duration(each.ms / 1000), numeric: true },
    { title: "requests", value: (each) => each.requests, show: (each) => number(each.requests), numeric: true },
    { title: "tests", value: (each) => each.tests, show: (each) => number(each.tests), numeric: true }].filter(Boolean) }));
  if (data.budgets.never.length) section.append(head("Never requested"), h("ul", { class: "plain" }, data.budgets.never.map((route) => h("li", {}, code(route)))));
}

function showRoutes(section) {
  const { rows: list, figures, failing: bad, whole } = data.routes;
  const own = list.filter((each) => each.own && !each.marks.includes("ignored"));
  section.append(head("Routes"), h("dl", { class: "figures" },
    figure("Asked for", percent(figures.percent ?? 0), `${number(figures.asked ?? 0)} of ${number(figures.endpoints ?? 0)} endpoints of the project`),
    figure("Untested", number(figures.untested ?? 0), whole ? "no test asks for them" : "not all tests ran, which may ask for them"),
    figure("Errors alone", number(figures.errors ?? 0), "asked for, and never with success"),
    figure("Called directly", number(figures.called ?? 0), "their views, past the route")),
    bad.length ? note(`${plural(bad.length, "route")} fail${bad.length === 1 ? "s" : ""} the run.`) : "",
    ...sortable({ label: "Routes", sort: 0, most: 100, rows: own, search: (each) => `${each.route} ${each.view} ${WORDS[each.state] || each.state}`, columns: [
      { title: "state", value: (each) => `${GRAVITIES[each.state] ?? 4} ${each.route}`, show: (each) => [mark(each.state), each.marks.filter((name) => name !== "ignored").map((name) => h("span", { class: "tag" }, { new: "new", known: "known", anonymous: "no user" }[name]))] },
      { title: "route", value: (each) => each.route, show: (each) => [code(each.route, "name"), h("span", { class: "holder" }, each.view)], class: "grow" },
      { title: "statuses", value: (each) => each.statuses.join(" "), show: (each) => each.statuses.join(", ") },
      { title: "tests", value: (each) => each.tests, show: (each) => number(each.tests), numeric: true }] }));
}

function showCoverage(section) {
  const { percent: covered, statements, files, changed } = data.coverage;
  section.append(head("Coverage"), h("dl", { class: "figures" },
    covered !== undefined && covered !== null && figure("All code", percent(covered), `${number(data.coverage.covered)} of ${number(statements)} statements`),
    changed && changed.percent !== null && figure("The change", percent(changed.percent), `of ${plural(changed.lines, "changed statement")} since ${changed.base}`)));
  if (changed && changed.failing) section.append(note(changed.failing));
  if (changed && changed.uncovered.length) section.append(head("Changed lines that no test ran"), ...sortable({ label: "Changed lines that no test ran", rows: changed.uncovered, columns: [
    { title: "file", value: ([path]) => path, show: ([path]) => code(path, "name"), class: "grow" }, { title: "lines", value: ([, lines]) => lines }] }));
  if (files && files.length) section.append(head("By file"), ...sortable({ label: "Coverage by file", sort: 2, most: 100, rows: files, search: (each) => each.path, columns: [
    { title: "file", value: (each) => each.path, show: (each) => [code(each.path, "name"), each.lines && h("span", { class: "holder", title: each.lines }, `not run: ${each.lines}`)], class: "grow" },
    { title: "covered", value: (each) => (each.statements ? 1 - each.missing / each.statements : 1), show: (each) => [percent(100 * (each.statements ? 1 - each.missing / each.statements : 1)), meter(each.statements ? 1 - each.missing / each.statements : 1, "passed")], numeric: true },
    { title: "missing", value: (each) => each.missing, show: (each) => number(each.missing), numeric: true },
    { title: "statements", value: (each) => each.statements, show: (each) => number(each.statements), numeric: true }] }));
  else if (covered !== undefined) section.append(note("This run did not tell of its files. The coverage reports do, if there are any."));
}

function showRun(section) {
  const totals = Object.entries(data.totals).filter(([, count]) => count);
  section.append(head("Environment"), h("dl", { class: "pairs" }, data.facts.map(([title, text]) => h("div", {}, h("dt", {}, title), h("dd", {}, code(text))))),
    head("In unittest's words"), note("Failures and errors are counted as problems: a test with two bad subtests is two."), h("dl", { class: "pairs" }, totals.map(([title, count]) => h("div", {}, h("dt", {}, title), h("dd", {}, number(count))))));
  if (data.reports.length) section.append(head("Other reports"), h("ul", { class: "plain" }, data.reports.map(([title, path, address]) => h("li", {}, h("a", { href: address }, title), " ", code(path)))));
  for (const [title, text] of data.others) section.append(head(title[0].toUpperCase() + title.slice(1)), block(text, title));
}
