// The catalogue table: asks the server for one page at a time, in the protocol of DataTables.
"use strict";

(() => {
  const root = document.getElementById("catalogue");
  const headings = [...root.querySelectorAll("th[data-column]")];
  const columns = headings.map((heading) => heading.dataset.column);
  const labels = headings.map((heading) => heading.textContent.trim());
  const body = root.querySelector("tbody");
  const status = document.getElementById("catalogue-status");
  const searchField = document.getElementById("catalogue-search");
  const lengthField = document.getElementById("catalogue-length");
  const orderField = document.getElementById("catalogue-order");
  const steps = [...root.querySelectorAll("[data-step]")];
  const state = { draw: 0, start: 0, length: 10, search: "", column: 0, direction: "asc" };

  function query() {
    const params = new URLSearchParams({
      draw: state.draw,
      start: state.start,
      length: state.length,
      "search[value]": state.search,
      "order[0][column]": state.column,
      "order[0][dir]": state.direction,
    });
    columns.forEach((name, index) => params.set(`columns[${index}][data]`, name));
    return params;
  }

  async function load() {
    state.draw += 1;
    let answer;
    try {
      const response = await fetch(`${root.dataset.url}?${query()}`);
      answer = await response.json();
    } catch {
      answer = { error: "The catalogue cannot be reached at the moment.", draw: state.draw };
    }
    if (answer.error) {
      status.textContent = answer.error;
    } else if (answer.draw === state.draw) {
      // A slower answer to an earlier question is left out.
      show(answer);
    }
  }

  function cell(row, index) {
    const td = document.createElement("td");
    const name = columns[index];
    td.dataset.label = labels[index];
    td.className = name === "title" ? "table__main" : headings[index].className;
    if (name === "title") {
      const link = document.createElement("a");
      link.href = row.url;
      link.textContent = row.title;
      link.lang = row.language_code;
      td.append(link);
    } else {
      td.textContent = name === "available" ? `${row.available} of ${row.copies}` : row[name];
    }
    return td;
  }

  function show(answer) {
    body.replaceChildren(
      ...answer.data.map((row) => {
        const tr = document.createElement("tr");
        tr.append(...columns.map((_, index) => cell(row, index)));
        return tr;
      }),
    );
    const last = state.start + answer.data.length;
    const of = answer.recordsFiltered === answer.recordsTotal ? "" : ` (${answer.recordsTotal} in all)`;
    status.textContent = answer.data.length
      ? `${state.start + 1} to ${last} of ${answer.recordsFiltered}${of}`
      : "No book matches.";
    steps[0].disabled = state.start === 0;
    steps[1].disabled = last >= answer.recordsFiltered;
    showOrder();
  }

  function showOrder() {
    headings.forEach((heading, index) => {
      if (index === state.column) {
        heading.setAttribute("aria-sort", state.direction === "asc" ? "ascending" : "descending");
      } else {
        heading.removeAttribute("aria-sort");
      }
    });
    orderField.value = `${state.column} ${state.direction}`;
  }

  function change(values) {
    Object.assign(state, { start: 0 }, values);
    load();
  }

  function sortBy(index) {
    const turned = state.column === index && state.direction === "asc";
    change({ column: index, direction: turned ? "desc" : "asc" });
  }

  headings.forEach((heading, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = labels[index];
    button.addEventListener("click", () => sortBy(index));
    heading.replaceChildren(button);
    orderField.append(new Option(`${labels[index]}, ascending`, `${index} asc`));
    orderField.append(new Option(`${labels[index]}, descending`, `${index} desc`));
  });

  let typing;
  searchField.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => change({ search: searchField.value }), 200);
  });
  lengthField.addEventListener("change", () => change({ length: Number(lengthField.value) }));
  orderField.addEventListener("change", () => {
    const [column, direction] = orderField.value.split(" ");
    change({ column: Number(column), direction });
  });
  steps.forEach((button) => {
    button.addEventListener("click", () => {
      change({ start: Math.max(0, state.start + Number(button.dataset.step) * state.length) });
    });
  });
  root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  load();
})();
