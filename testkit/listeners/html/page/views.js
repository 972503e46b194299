// The parts on how the run went. Each is filled when it is first shown.
const code = (text, name = null) => h("code", { class: name }, text);
const link = (row) =>
  h(
    "button",
    { type: "button", class: "open", click: () => openSheet(row) },
    h("span", { class: "name" }, nameOf(row)),
    h("span", { class: "holder" }, classOf(row)),
  );

function showFlaky(section) {
  section.append(
    head(plural(T.flaky.length, "flaky test")),
    note("They failed, and passed when they were tried again. Every attempt is here."),
    h(
      "div",
      { class: "cards" },
      T.flaky.map((row, index) =>
        cardOf({
          row,
          sign: badge("flaky"),
          name: nameOf(row),
          holder: classOf(row),
          why: messageOf((detailsOf(row).earlier || [{}])[0]),
          isOpen: index < OPEN_AT_FIRST,
          make: () => [metaOf(row), bodyOfTest(row)],
        }),
      ),
    ),
  );
}

function showWorkers(section) {
  const line = data.timeline;
  const { figure: chart, draw } = timelineOf(line);
  const isOne = line.plan.workers === 1;
  const { pole } = line.plan;
  section.append(
    head(isOne ? "One process" : plural(line.plan.workers, "worker")),
    orderOf(line) || note("All tests ran one after the other: their order makes no difference. What workers would make of it is below."),
    chart,
  );
  if (isOne) {
    const foreseen = line.plan.foreseen.filter(
      (each, index, list) => !index || list[index - 1].seconds - each.seconds > 0.02 * list[0].seconds,
    );
    section.append(
      head("With --parallel"),
      note("As the queue of a parallel run would share the classes out, longest first; starting workers and their databases is not in it."),
      ...sortable({
        label: "Foreseen durations",
        rows: foreseen,
        columns: [
          { title: "workers", value: (each) => -each.workers, show: (each) => number(each.workers), numeric: true },
          { title: "seconds", value: (each) => each.seconds, show: (each) => duration(each.seconds), numeric: true },
          { title: "at least", value: (each) => each.bound, show: (each) => duration(each.bound), numeric: true },
          {
            title: "what keeps it up",
            value: (each) => Number(pole.seconds < each.bound),
            show: (each) => (pole.seconds >= each.bound ? code(pole.id) : "the work as a whole"),
          },
        ],
      }),
    );
  }
  if (line.gaps.length)
    section.append(
      head("Gaps"),
      note(`Nothing ran for ${duration(line.waited)} ${isOne ? "" : "of the workers' time "}in all; the longest are here.`),
      ...sortable({
        label: "Gaps",
        sort: isOne ? 0 : 1,
        rows: line.gaps,
        columns: [
          { title: "worker", value: (gap) => gap.worker || "the run" },
          { title: "waited", value: (gap) => gap.seconds, show: (gap) => duration(gap.seconds), numeric: true },
          { title: "from", value: (gap) => gap.start, show: (gap) => (gap.start ? duration(gap.start) : "the start"), numeric: true },
          { title: "until", value: (gap) => gap.before, show: (gap) => (gap.before ? code(gap.before) : "all others had ended") },
        ].filter((column) => !isOne || column.title !== "worker"),
      }),
    );
  if (data.lost_workers.length)
    section.append(
      head("Lost workers"),
      ...sortable({
        label: "Lost workers",
        rows: data.lost_workers,
        columns: [
          { title: "worker", value: (each) => each.worker || "the run" },
          { title: "why", value: (each) => each.reason },
          { title: "at", value: (each) => each.running, show: (each) => code(each.running) },
        ],
      }),
    );
  draw();
  new ResizeObserver(draw).observe(one(".frame", chart));
}

function showTimes(section) {
  const ran = rows.filter(hasRun);
  const largest = Math.max(1e-9, ...data.timeline.set_ups.map(([, seconds]) => seconds));
  const slowest = [...ran].sort((a, b) => T.time[b] - T.time[a]).slice(0, 100);
  const longest = secondsOf(slowest[0]) || 1e-9;
  section.append(
    head("Durations"),
    ...(concentration(ran) ? [note(concentration(ran))] : []),
    durationPlot(ran),
    head("Slowest tests"),
    ...sortable({
      label: "Slowest tests",
      sort: 0,
      most: 20,
      rows: slowest,
      columns: [
        {
          title: "time",
          value: (row) => T.time[row],
          show: (row) => [duration(secondsOf(row)), meter(secondsOf(row) / longest)],
          numeric: true,
        },
        { title: "test", value: idOf, show: link, class: "grow" },
        { title: "worker", value: workerOf },
      ].filter((column) => column.title !== "worker" || T.workers.length > 1),
    }),
  );
  if (data.timeline.set_ups.length)
    section.append(
      head("What classes and modules cost to set up"),
      ...sortable({
        label: "Set-ups",
        sort: 0,
        most: 20,
        rows: data.timeline.set_ups,
        columns: [
          {
            title: "time",
            value: ([, seconds]) => seconds,
            show: ([, seconds]) => [duration(seconds), meter(seconds / largest)],
            numeric: true,
          },
          { title: "class or module", value: ([id]) => id, show: ([id]) => code(id, "name"), class: "grow" },
          { title: "times", value: ([, , times]) => times, numeric: true },
        ],
      }),
    );
}

function showRun(section) {
  const totals = Object.entries(data.totals).filter(([, count]) => count);
  section.append(
    head("Environment"),
    h(
      "dl",
      { class: "pairs" },
      data.facts.map(([title, text]) => h("div", {}, h("dt", {}, title), h("dd", {}, code(text)))),
    ),
    head("In unittest's words"),
    note("Failures and errors are counted as problems: a test with two bad subtests is two."),
    h(
      "dl",
      { class: "pairs" },
      totals.map(([title, count]) => h("div", {}, h("dt", {}, title), h("dd", {}, number(count)))),
    ),
  );
  if (data.reports.length)
    section.append(
      head("Other reports"),
      h(
        "ul",
        { class: "plain" },
        data.reports.map(([title, path, address]) => h("li", {}, h("a", { href: address }, title), " ", code(path))),
      ),
    );
  for (const [title, text] of data.others) section.append(head(title[0].toUpperCase() + title.slice(1)), block(text, title));
}
