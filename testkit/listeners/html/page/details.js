// All that is known of one test or fixture.
const block = (text, label) => h("pre", { tabindex: "0", "aria-label": label }, text);
const part = (title, ...content) => h("div", { class: "part" }, h("h4", {}, title), ...content);
const folded = (title, isOpen, make) => {
  const box = h("details", { class: "fold" }, h("summary", {}, title));
  const open = () => {
    if (box.open && box.childElementCount === 1) box.append(...[make()].flat());
  };
  box.addEventListener("toggle", open);
  if (isOpen) {
    box.open = true;
    open();
  }
  return box;
};

function sourceOf({ source: place, file }) {
  if (!place) return null;
  const source = data.sources[place - 1];
  const lines = source.lines.map((text, index) => {
    const line = source.first + index;
    return h("span", { class: line === source.line ? "at" : null, "data-line": line }, `${text}\n`);
  });
  return h(
    "figure",
    { class: "source" },
    h("figcaption", {}, placeOf(file, source.line), h("span", { class: "quiet" }, "as it was when this page was written")),
    h("pre", { tabindex: "0", "aria-label": `Source around line ${source.line}` }, h("code", {}, lines)),
  );
}

// The first line is wrapped; what follows is often a table of its own, which must not be.
function messageBox(type, message) {
  const [first, ...rest] = message.split("\n");
  const more = rest.join("\n").replace(/^\n+|\s+$/g, "");
  return h(
    "div",
    { class: "message" },
    h("p", {}, type && h("strong", {}, type), type && first ? `: ${first}` : first),
    more && h("pre", { tabindex: "0", "aria-label": "The rest of the message" }, more),
  );
}

function problemOf(problem) {
  const traceback = textOf(problem.traceback);
  return h(
    "div",
    { class: "problem" },
    messageBox(problem.type || problem.outcome, problem.message || ""),
    sourceOf(problem) || (problem.file && h("p", { class: "quiet" }, placeOf(problem.file, problem.line))),
    traceback
      ? folded("Traceback", !problem.source, () => block(traceback, "Traceback"))
      : problem.left_out && note("Its traceback is not on this page, which had no room left; the journal has it."),
  );
}

function outputOf(details) {
  return ["stdout", "stderr"]
    .filter((name) => details[name])
    .map((name) => {
      const { text, length } = details[name];
      const title = `${name === "stdout" ? "Output" : "Errors printed"}: ${size(length)}`;
      const kept = textOf(text);
      return kept
        ? folded(title, length < 1500, () => block(kept, title))
        : note(`${title}, for which this page had no room left; the journal has it.`);
    });
}

function imagesOf(attachments) {
  const review = data.reports.find(([title]) => title === "screenshots");
  const shown = attachments.filter(({ src }) => src);
  const kind = (path) => /\.(before|new|diff)\.[0-9a-f]+\.png$/.exec(path)?.[1];
  const words = { before: "Baseline", new: "New", diff: "What changed" };
  return part(
    "Attached",
    review && shown.length > 0 && h("p", {}, h("a", { href: review[2] }, "Compare and approve in the review of screenshots")),
    shown.length > 0 &&
      h(
        "div",
        { class: "images" },
        shown.map(({ path, src }) =>
          h(
            "figure",
            {},
            h("img", { src, alt: `${words[kind(path)] || "Image"}: ${path}`, loading: "lazy" }),
            h("figcaption", {}, words[kind(path)] ? h("strong", {}, words[kind(path)]) : null, " ", path),
          ),
        ),
      ),
    shown.length < attachments.length &&
      h(
        "ul",
        { class: "plain" },
        attachments.filter(({ src }) => !src).map(({ path }) => h("li", {}, h("code", {}, path))),
      ),
  );
}

function requestsOf(row) {
  const asked = T.asked[row];
  if (!asked) return null;
  return part(
    `Requests: ${plural(queriesOf(row), "query", "queries")} in all`,
    h(
      "table",
      { class: "small" },
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          h("th", { scope: "col" }, "Route"),
          ["Requests", "Most queries", "Time"].map((title) => h("th", { scope: "col", class: "number" }, title)),
        ),
      ),
      h(
        "tbody",
        {},
        asked.map(([route, requests, queries, ms]) =>
          h(
            "tr",
            {},
            h("td", {}, h("code", {}, T.routes[route])),
            [number(requests), number(queries), duration(ms / 1000)].map((text) => h("td", { class: "number" }, text)),
          ),
        ),
      ),
    ),
  );
}

function attemptOf(attempt, index, isOpen) {
  const box = folded(
    [
      badge(attempt.outcome),
      " ",
      h(
        "span",
        { class: "quiet" },
        `attempt ${index + 1}, ${duration(attempt.seconds)}${attempt.worker ? `, worker ${attempt.worker}` : ""}`,
      ),
    ],
    isOpen,
    () => h("div", { class: "inside" }, attempt.problems.map(problemOf), outputOf(attempt)),
  );
  box.classList.add("attempt");
  return h("li", {}, box);
}

function attemptsIn(details, last) {
  if (!details.earlier) return null;
  return part(
    plural(details.earlier.length + 1, "attempt"),
    h(
      "ol",
      { class: "attempts" },
      details.earlier.map((attempt, index) => attemptOf(attempt, index, !BAD.has(last.outcome))),
      h(
        "li",
        {},
        h(
          "p",
          {},
          badge(last.outcome),
          h("span", { class: "quiet" }, `attempt ${details.earlier.length + 1}, ${duration(last.seconds)}, the one that counts`),
        ),
      ),
    ),
  );
}

function commandBox(command) {
  if (!command) return null;
  return h("div", { class: "command" }, h("code", {}, command), copyButton(command, "Copy the command that runs it again"));
}

// Everything but the title, for a card and for the sheet alike.
function bodyOf(details, { row = null, command = "", last = null } = {}) {
  const told = [
    details.reason && messageBox("", details.reason),
    (details.problems || []).map(problemOf),
    (details.subtests || []).map((subtest) =>
      h(
        "div",
        { class: "subtest" },
        h("h4", {}, badge(subtest.outcome), h("code", {}, subtest.name || "subtest")),
        subtest.reason && h("p", {}, subtest.reason),
        subtest.problems.map(problemOf),
      ),
    ),
    details.trouble && folded("Traceback", false, () => block(textOf(details.trouble), "Traceback")),
    command && part("Run it again", commandBox(command)),
    attemptsIn(details, last),
    outputOf(details),
    details.sql && folded("SQL", false, () => block(textOf(details.sql), "SQL")),
    row !== null && requestsOf(row),
    details.attachments && imagesOf(details.attachments),
    details.measures &&
      part(
        "Noted by the test",
        h(
          "dl",
          { class: "pairs" },
          Object.entries(details.measures).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
        ),
      ),
  ]
    .flat(Infinity)
    .filter(Boolean);
  return told;
}

const bodyOfTest = (row) =>
  bodyOf(detailsOf(row), { row, command: commandOf(row), last: { outcome: outcomeOf(row), seconds: secondsOf(row) } });

const meta = (told) =>
  h(
    "p",
    { class: "meta" },
    told.filter(Boolean).map((text) => h("span", {}, text)),
  );
const metaOf = (row) =>
  meta([
    hasRun(row) && duration(secondsOf(row)),
    workerOf(row) && `worker ${workerOf(row)}`,
    placeOfTest(row),
    queriesOf(row) >= 0 && plural(queriesOf(row), "query", "queries"),
    attemptsOf(row) > 1 && plural(attemptsOf(row), "attempt"),
  ]);
