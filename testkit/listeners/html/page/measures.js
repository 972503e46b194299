// What was measured of the project: queries, routes, coverage.
const WORDS = {
  over: "over budget",
  slow: "slow",
  within: "within budget",
  without: "no budget",
  tested: "tested",
  errors: "only errors",
  called: "view called directly",
  untested: "untested",
};
const GRAVITIES = { over: 0, untested: 0, slow: 1, errors: 1, called: 1, without: 2, within: 3, tested: 3, "": 4 };
const mark = (state, word = WORDS[state]) =>
  state ? h("span", { class: "badge", "data-state": state }, h("span", { class: "dot", "aria-hidden": "true" }), word) : "";

function showQueries(section) {
  const list = data.requests;
  const most = Math.max(1, ...list.map((each) => each.queries));
  section.append(
    head("Queries by route"),
    note(
      data.budgets.known
        ? "The most that a single request made, against its budget."
        : "The most that a single request made. There are no budgets: --query-budgets=record writes them.",
    ),
    ...sortable({
      label: "Queries by route",
      sort: data.budgets.known ? 0 : 1,
      most: 100,
      rows: list,
      search: (each) => each.route,
      columns: [
        data.budgets.known && {
          title: "state",
          value: (each) => GRAVITIES[each.state] * 1e9 - each.queries,
          show: (each) => mark(each.state),
        },
        {
          title: "route",
          value: (each) => each.route,
          show: (each) => [code(each.route, "name"), each.word && h("span", { class: "holder" }, each.word)],
          class: "grow",
        },
        {
          title: "queries",
          value: (each) => each.queries,
          show: (each) => [number(each.queries), meter(each.queries / most, each.state)],
          numeric: true,
        },
        list.some((each) => each.most !== null) && {
          title: "budget",
          value: (each) => each.most ?? -1,
          show: (each) => (each.most === null ? "–" : number(each.most)),
          numeric: true,
        },
        { title: "longest", value: (each) => each.ms, show: (each) => duration(each.ms / 1000), numeric: true },
        { title: "requests", value: (each) => each.requests, show: (each) => number(each.requests), numeric: true },
        { title: "tests", value: (each) => each.tests, show: (each) => number(each.tests), numeric: true },
      ].filter(Boolean),
    }),
  );
  if (data.budgets.never.length)
    section.append(
      head("Never requested"),
      h(
        "ul",
        { class: "plain" },
        data.budgets.never.map((route) => h("li", {}, code(route))),
      ),
    );
}

function showRoutes(section) {
  const { rows: list, figures, failing: bad, whole } = data.routes;
  const own = list.filter((each) => each.own && !each.marks.includes("ignored"));
  section.append(
    head("Routes"),
    h(
      "dl",
      { class: "figures" },
      figure(
        "Asked for",
        percent(figures.percent ?? 0),
        `${number(figures.asked ?? 0)} of ${number(figures.endpoints ?? 0)} endpoints of the project`,
      ),
      figure("Untested", number(figures.untested ?? 0), whole ? "no test asks for them" : "not all tests ran, which may ask for them"),
      figure("Errors alone", number(figures.errors ?? 0), "asked for, and never with success"),
      figure("Called directly", number(figures.called ?? 0), "their views, past the route"),
    ),
    bad.length ? note(`${plural(bad.length, "route")} fail${bad.length === 1 ? "s" : ""} the run.`) : "",
    ...sortable({
      label: "Routes",
      sort: 0,
      most: 100,
      rows: own,
      search: (each) => `${each.route} ${each.view} ${WORDS[each.state] || each.state}`,
      columns: [
        {
          title: "state",
          value: (each) => `${GRAVITIES[each.state] ?? 4} ${each.route}`,
          show: (each) => [
            mark(each.state),
            each.marks
              .filter((name) => name !== "ignored")
              .map((name) => h("span", { class: "tag" }, { new: "new", known: "known", anonymous: "no user" }[name])),
          ],
        },
        {
          title: "route",
          value: (each) => each.route,
          show: (each) => [code(each.route, "name"), h("span", { class: "holder" }, each.view)],
          class: "grow",
        },
        { title: "statuses", value: (each) => each.statuses.join(" "), show: (each) => each.statuses.join(", ") },
        { title: "tests", value: (each) => each.tests, show: (each) => number(each.tests), numeric: true },
      ],
    }),
  );
}

function showCoverage(section) {
  const { percent: covered, statements, files, changed } = data.coverage;
  section.append(
    head("Coverage"),
    h(
      "dl",
      { class: "figures" },
      covered !== undefined &&
        covered !== null &&
        figure("All code", percent(covered), `${number(data.coverage.covered)} of ${number(statements)} statements`),
      changed &&
        changed.percent !== null &&
        figure("The change", percent(changed.percent), `of ${plural(changed.lines, "changed statement")} since ${changed.base}`),
    ),
  );
  if (changed && changed.failing) section.append(note(changed.failing));
  if (changed && changed.uncovered.length)
    section.append(
      head("Changed lines that no test ran"),
      ...sortable({
        label: "Changed lines that no test ran",
        rows: changed.uncovered,
        columns: [
          { title: "file", value: ([path]) => path, show: ([path]) => code(path, "name"), class: "grow" },
          { title: "lines", value: ([, lines]) => lines },
        ],
      }),
    );
  if (files && files.length)
    section.append(
      head("By file"),
      ...sortable({
        label: "Coverage by file",
        sort: 2,
        most: 100,
        rows: files,
        search: (each) => each.path,
        columns: [
          {
            title: "file",
            value: (each) => each.path,
            show: (each) => [
              code(each.path, "name"),
              each.lines && h("span", { class: "holder", title: each.lines }, `not run: ${each.lines}`),
            ],
            class: "grow",
          },
          {
            title: "covered",
            value: (each) => (each.statements ? 1 - each.missing / each.statements : 1),
            show: (each) => [
              percent(100 * (each.statements ? 1 - each.missing / each.statements : 1)),
              meter(each.statements ? 1 - each.missing / each.statements : 1, "passed"),
            ],
            numeric: true,
          },
          { title: "missing", value: (each) => each.missing, show: (each) => number(each.missing), numeric: true },
          { title: "statements", value: (each) => each.statements, show: (each) => number(each.statements), numeric: true },
        ],
      }),
    );
  else if (covered !== undefined) section.append(note("This run did not tell of its files. The coverage reports do, if there are any."));
}
