// The tests stand in columns; here is what a row says.
const data = JSON.parse(one("#data").textContent);
const T = data.tests;
const BAD = new Set(["failed", "error", "unexpected success", "lost"]);
const isFlaky = new Set(T.flaky);
const rows = Array.from({ length: T.count }, (_, row) => row);

const outcomeOf = (row) => T.outcomes[T.outcome.charCodeAt(row) - 48];
const isBad = (row) => BAD.has(outcomeOf(row));
const nameOf = (row) => T.name[row];
const classOf = (row) => T.classes[T.class[row]];
const idOf = (row) => (classOf(row) ? `${classOf(row)}.${nameOf(row)}` : nameOf(row));
const secondsOf = (row) => T.time[row] / 1e5;
const workerOf = (row) => T.workers[T.worker[row]];
const queriesOf = (row) => (T.queries.length ? T.queries[row] : -1);
const attemptsOf = (row) => T.attempts[row] || 1;
const detailsOf = (row) => data.details[row] || {};
const placeOf = (file, line) => (file ? (line ? `${file}:${line}` : file) : "");
const placeOfTest = (row) => placeOf(T.files[T.file[row]], T.line[row]);
const textOf = (place) => (place > 0 ? data.texts[place] : place < 0 ? data.passing[-place] : "");
const hasRun = (row) => outcomeOf(row) !== "not run" && outcomeOf(row) !== "lost";
const commandOf = (row) => data.commands.odd[row] ?? (data.commands.program && `${data.commands.program} ${idOf(row)}`);

function problemsOf(details) {
  return [...(details.problems || []), ...(details.subtests || []).flatMap((subtest) => subtest.problems)];
}

// The first line that says why, for lists.
function messageOf(details) {
  const [problem] = problemsOf(details);
  if (problem) return (problem.message || problem.type || "").split("\n")[0];
  return (details.reason || "").split("\n")[0];
}

const failing = [
  ...data.fixtures.map((fixture, index) => ({ fixture, index })).filter(({ fixture }) => BAD.has(fixture.outcome)),
  ...rows.filter(isBad).map((row) => ({ row })),
];
