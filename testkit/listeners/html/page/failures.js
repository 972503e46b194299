// What failed, one card each; a card is filled when it is opened.
const CARDS_AT_ONCE = 50;
const OPEN_AT_FIRST = 2;

function cardOf({ row = null, sign, name, holder, why, isOpen, make }) {
  const who = h("span", { class: "who" }, h("h3", { class: "name" }, name), h("span", { class: "holder" }, holder));
  const card = h("details", { class: "card", "data-row": row }, h("summary", {}, sign, who, h("span", { class: "why" }, why)));
  card.fill = () => {
    if (card.open && card.childElementCount === 1) card.append(h("div", { class: "inside" }, make()));
  };
  card.addEventListener("toggle", card.fill);
  if (isOpen) {
    card.open = true;
    card.fill();
  }
  return card;
}

function failureOf({ row, fixture, index }, isOpen) {
  if (fixture) {
    const told = [duration(fixture.seconds), fixture.worker && `worker ${fixture.worker}`, placeOf(fixture.file, fixture.line)];
    return cardOf({
      sign: badge(fixture.outcome),
      name: fixture.phase,
      holder: fixture.id,
      why: messageOf(fixture),
      isOpen,
      make: () => [meta(told), bodyOf(fixture, { command: data.commands.fixtures[index], last: fixture })],
    });
  }
  return cardOf({
    row,
    sign: badge(outcomeOf(row)),
    name: nameOf(row),
    holder: classOf(row),
    why: messageOf(detailsOf(row)),
    isOpen,
    make: () => [T.summary[row] && h("p", { class: "summary" }, T.summary[row]), metaOf(row), bodyOfTest(row)],
  });
}

// One cause may fail many tests: they are counted by the exception and the line to look at first.
function causesOf(list) {
  const causes = new Map();
  for (const failure of list) {
    const [problem] = problemsOf(failure.fixture || detailsOf(failure.row));
    if (!problem) continue;
    const place = placeOf(problem.file, problem.line);
    const key = `${problem.type} ${place}`;
    if (!causes.has(key)) causes.set(key, { type: problem.type, place, message: (problem.message || "").split("\n")[0], failures: [] });
    causes.get(key).failures.push(failure);
  }
  return [...causes.values()]
    .filter((cause) => cause.failures.length > 1)
    .sort((a, b) => b.failures.length - a.failures.length)
    .slice(0, 8);
}

function showFailures(section) {
  let [list, shown] = [failing, 0];
  const cards = h("div", { class: "cards" });
  const foot = h("p", { class: "more" });

  function more() {
    cards.append(...list.slice(shown, shown + CARDS_AT_ONCE).map((failure, index) => failureOf(failure, shown + index < OPEN_AT_FIRST)));
    shown = Math.min(list.length, shown + CARDS_AT_ONCE);
    foot.replaceChildren(
      ...(shown < list.length
        ? [
            h(
              "button",
              { type: "button", click: more },
              `Show ${number(Math.min(CARDS_AT_ONCE, list.length - shown))} more of ${number(list.length - shown)}`,
            ),
          ]
        : []),
    );
  }
  function only(cause, button) {
    const isOn = button.getAttribute("aria-pressed") === "true";
    all("[aria-pressed=true]", section).forEach((each) => each.setAttribute("aria-pressed", "false"));
    button.setAttribute("aria-pressed", String(!isOn));
    [list, shown] = [isOn ? failing : cause.failures, 0];
    cards.replaceChildren();
    more();
    say(`${plural(list.length, "failure")} shown.`);
  }

  if (!failing.length) {
    section.append(empty(data.verdict.state === "passed" ? "Nothing failed." : "No test failed."));
    return;
  }
  const causes = failing.length > 3 ? causesOf(failing) : [];
  section.append(
    head(
      plural(failing.length, "failure"),
      h("span", { class: "push" }),
      failing.length > 1 &&
        h(
          "button",
          {
            type: "button",
            click: (event) => {
              const isAnyClosed = all(".card:not([open])", cards).length > 0;
              for (const card of all(".card", cards)) card.open = isAnyClosed;
              event.target.textContent = isAnyClosed ? "Close all" : "Open all";
            },
          },
          "Open all",
        ),
    ),
    ...(causes.length
      ? [
          h(
            "div",
            { class: "causes", role: "group", "aria-label": "Failures with one cause" },
            causes.map((cause) => {
              const button = h(
                "button",
                { type: "button", class: "cause", "aria-pressed": "false", click: () => only(cause, button) },
                h("span", { class: "number" }, number(cause.failures.length)),
                h("span", {}, h("strong", {}, cause.type), " ", cause.message),
                h("span", { class: "quiet" }, cause.place),
              );
              return button;
            }),
          ),
        ]
      : []),
    cards,
    foot,
  );
  if (data.left_out)
    section.append(
      note(
        `${plural(data.left_out, "text")} (tracebacks, output) had no room on this page. The journal has them: python -m testkit report --format json`,
      ),
    );
  more();
}
