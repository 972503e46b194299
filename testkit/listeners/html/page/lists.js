// A table whose rows all fit: sorted by its heads, and the first of them shown until somebody wants more.
// Columns have a `title`, the `value` they sort by, and what they `show`; numbers are right-aligned and begin with the largest.
function sortable({ label, columns, rows: list, sort = 0, most = 50, search = null }) {
  let [column, falls, limit, words] = [sort, Boolean(columns[sort].numeric), most, []];
  const body = h("tbody");
  const foot = h("p", { class: "more" });
  const heads = columns.map((each, index) =>
    h("th", { scope: "col", class: each.numeric && "number" }, h("button", { type: "button", click: () => sortBy(index) }, each.title)),
  );

  function sortBy(index) {
    falls = index === column ? !falls : Boolean(columns[index].numeric);
    column = index;
    show();
  }

  function show() {
    const { value } = columns[column];
    const shown = (words.length ? list.filter((row) => words.every((word) => search(row).toLowerCase().includes(word))) : [...list]).sort(
      (a, b) => {
        const [x, y] = [value(a), value(b)];
        return (x < y ? -1 : x > y ? 1 : 0) * (falls ? -1 : 1);
      },
    );
    heads.forEach((each, index) =>
      index === column ? each.setAttribute("aria-sort", falls ? "descending" : "ascending") : each.removeAttribute("aria-sort"),
    );
    body.replaceChildren(
      ...shown.slice(0, limit).map((row) =>
        h(
          "tr",
          {},
          columns.map((each) =>
            h(
              "td",
              { class: each.numeric ? "number" : each.class, "data-title": each.title },
              each.show ? each.show(row) : String(each.value(row)),
            ),
          ),
        ),
      ),
    );
    foot.replaceChildren(
      ...(shown.length > limit
        ? [
            h(
              "button",
              {
                type: "button",
                click: () => {
                  limit = Infinity;
                  show();
                },
              },
              `Show all ${number(shown.length)}`,
            ),
          ]
        : []),
    );
    if (!shown.length) foot.append("Nothing is like that.");
  }

  show();
  const field =
    search &&
    list.length > 12 &&
    h(
      "label",
      { class: "search" },
      h("span", { class: "hidden" }, `Search: ${label}`),
      h("input", {
        type: "search",
        placeholder: "Search",
        autocomplete: "off",
        spellcheck: "false",
        input: (event) => {
          words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
          show();
        },
      }),
    );
  return [
    ...(field ? [field] : []),
    h(
      "div",
      { class: "wide", role: "group", tabindex: "0", "aria-label": label },
      h("table", {}, h("caption", { class: "hidden" }, label), h("thead", {}, h("tr", {}, heads)), body),
    ),
    foot,
  ];
}

// A share of the largest, as a bar beside a number.
const meter = (share, state = "") =>
  svg(
    "svg",
    { class: "meter", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true", "data-state": state },
    svg("rect", { class: "of", width: 100, height: 1 }),
    svg("rect", { class: "is", width: Math.max(0, Math.min(100, share * 100)), height: 1 }),
  );
