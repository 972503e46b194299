// A test on its own, over the part that it was opened from.
let afterSheet = null;
function openSheet(row, then = null) {
  const sheet = one("#detail");
  if (then) afterSheet = then;
  sheet.dataset.row = row;
  one(".sheet", sheet).replaceChildren(
    h(
      "div",
      { class: "bar" },
      badge(outcomeOf(row)),
      isFlaky.has(row) && badge("flaky"),
      h("span", { class: "push" }),
      h("button", { type: "button", class: "icon", "aria-label": "Close", click: () => sheet.close() }, sign("close")),
    ),
    h("h3", { id: "detail-title" }, nameOf(row)),
    h("p", { class: "holder" }, classOf(row)),
    (T.summary[row] && h("p", { class: "summary" }, T.summary[row])) || "",
    metaOf(row),
    ...bodyOfTest(row),
  );
  if (!sheet.open) sheet.showModal();
  sheet.scrollTop = 0;
}
