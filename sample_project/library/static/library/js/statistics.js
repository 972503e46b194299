// The statistics chart: two bars per bucket of time, drawn as SVG.
"use strict";

(() => {
  const root = document.getElementById("statistics");
  const form = root.querySelector("form");
  const chart = root.querySelector(".chart");
  const status = root.querySelector("[role=status]");
  const body = root.querySelector("tbody");
  const HEIGHT = 280;
  const MARGIN = { top: 12, right: 8, bottom: 30, left: 34 };
  const LABEL_WIDTH = 76;
  let shown = null;

  async function load() {
    let answer;
    try {
      const response = await fetch(`${root.dataset.url}?${new URLSearchParams(new FormData(form))}`);
      answer = await response.json();
    } catch {
      answer = { error: "The statistics cannot be reached at the moment." };
    }
    root.classList.toggle("is-failed", Boolean(answer.error));
    if (answer.error) {
      status.textContent = answer.error;
      return;
    }
    shown = answer;
    status.textContent = `${answer.totals.loans} loans and ${answer.totals.returns} returns in this period.`;
    draw();
    fillTable();
  }

  function element(name, attributes, text) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    if (text !== undefined) {
      node.textContent = text;
    }
    return node;
  }

  function niceStep(highest) {
    const rough = Math.max(1, highest / 4);
    const power = 10 ** Math.floor(Math.log10(rough));
    return Math.ceil([1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough));
  }

  function dateLabel(iso) {
    const options =
      shown.bucket === "month" ? { month: "short", year: "numeric" } : { day: "numeric", month: "short" };
    return new Date(`${iso}T00:00:00Z`).toLocaleDateString("en-GB", { ...options, timeZone: "UTC" });
  }

  function gridLines(svg, width, step, top, y) {
    for (let value = 0; value <= top; value += step) {
      svg.append(
        element("line", { class: "chart__line", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
        element("text", { class: "chart__label", x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, value),
      );
    }
  }

  function bars(svg, slot, y) {
    const bar = Math.max(1, Math.min(22, slot * 0.38));
    shown.rows.forEach((row, index) => {
      const middle = MARGIN.left + slot * (index + 0.5);
      [["loans", middle - bar], ["returns", middle]].forEach(([name, x]) => {
        const rect = element("rect", {
          class: `chart__${name}`, x, y: y(row[name]), width: bar, height: y(0) - y(row[name]),
        });
        rect.append(element("title", {}, `${dateLabel(row.start)}: ${row[name]} ${name}`));
        svg.append(rect);
      });
    });
  }

  function dateLabels(svg, width, slot) {
    const every = Math.max(1, Math.ceil(LABEL_WIDTH / slot));
    for (let index = Math.floor((every - 1) / 2); index < shown.rows.length; index += every) {
      const x = MARGIN.left + slot * (index + 0.5);
      const fits = x >= LABEL_WIDTH / 2 && x + LABEL_WIDTH / 2 <= width;
      if (fits) {
        const attributes = { class: "chart__label", x, y: HEIGHT - 8, "text-anchor": "middle" };
        svg.append(element("text", attributes, dateLabel(shown.rows[index].start)));
      }
    }
  }

  function draw() {
    const width = Math.max(240, chart.clientWidth);
    const highest = Math.max(1, ...shown.rows.flatMap((row) => [row.loans, row.returns]));
    const step = niceStep(highest);
    const top = Math.ceil(highest / step) * step;
    const y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const slot = (width - MARGIN.left - MARGIN.right) / shown.rows.length;
    const svg = element("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img",
      "aria-label": `Loans and returns per ${shown.bucket}, from ${shown.from} to ${shown.to}`,
    });
    gridLines(svg, width, step, top, y);
    bars(svg, slot, y);
    dateLabels(svg, width, slot);
    chart.replaceChildren(svg);
  }

  function fillTable() {
    body.replaceChildren(
      ...shown.rows.map((row) => {
        const tr = document.createElement("tr");
        [row.start, row.loans, row.returns].forEach((value, index) => {
          const td = document.createElement("td");
          td.textContent = value;
          td.className = index ? "number" : "";
          tr.append(td);
        });
        return tr;
      }),
    );
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    load();
  });
  window.addEventListener("resize", () => {
    if (shown) {
      chart.replaceChildren();
      draw();
    }
  });
  load();
})();
