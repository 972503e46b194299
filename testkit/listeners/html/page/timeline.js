// What the workers did when. The bars are drawn anew for each width; the arrow keys go through them.
const LANE = 26;
const BAR = 18;

function timelineOf(line) {
  const chart = svg("svg", {
    class: "lanes",
    tabindex: "0",
    role: "application",
    "aria-roledescription": "timeline",
    "aria-label": "What each worker did when; the arrow keys go from class to class, Enter shows the tests",
  });
  const told = h("p", { class: "told", "aria-live": "polite" }, "Point at a bar, or go through them with the arrow keys.");
  let here = null; // [lane, bar]
  const total = line.seconds;

  function describe(lane, bar) {
    const [start, length, group, tests, isBad] = line.lanes[lane].bars[bar];
    const what = tests ? plural(tests, "test") : "set-up or tear-down";
    const { worker } = line.lanes[lane];
    const from = start ? duration(start / 1000) : "the start";
    const words = `${line.groups[group]}, ${what} in ${duration(length / 1000)}, from ${from}${isBad ? ", with a failure" : ""}`;
    return worker ? `Worker ${worker}: ${words}` : words;
  }

  function draw() {
    const width = Math.max(240, chart.parentElement.clientWidth);
    const left = line.lanes.length > 1 ? 34 : 4;
    const scale = (width - left - 8) / total;
    const height = line.lanes.length * LANE + 26;
    const parts = [];
    const every =
      [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200].find((step) => step * scale >= 70) ||
      14400;
    for (let at = 0; at <= total; at += every) {
      const x = left + at * scale;
      parts.push(
        svg("line", { x1: x, x2: x, y1: 0, y2: height - 20 }),
        svg("text", { x, y: height - 6, "text-anchor": at ? "middle" : "start" }, at ? tick(at) : "0"),
      );
    }
    line.lanes.forEach((lane, index) => {
      const y = index * LANE + 4;
      if (line.lanes.length > 1) parts.push(svg("text", { class: "lane", x: left - 8, y: y + 13, "text-anchor": "end" }, lane.worker));
      parts.push(svg("rect", { class: "idle", x: left, y, width: Math.max(0, line.ended * scale), height: BAR }));
      lane.bars.forEach(([start, length, group, , isBad], bar) => {
        const isHere = here && here[0] === index && here[1] === bar;
        parts.push(
          svg("rect", {
            class: `bar ${group % 2 ? "odd" : "even"}${isHere ? " here" : ""}`,
            "data-lane": index,
            "data-bar": bar,
            x: left + (start / 1000) * scale,
            y,
            width: Math.max(1, (length / 1000) * scale - 0.5),
            height: BAR,
          }),
        );
        if (isBad)
          parts.push(
            svg("rect", {
              class: "bad",
              x: left + (start / 1000) * scale,
              y: y + BAR - 4,
              width: Math.max(2, (length / 1000) * scale - 0.5),
              height: 4,
            }),
          );
      });
    });
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("width", width);
    chart.setAttribute("height", height);
    chart.replaceChildren(...parts);
  }

  function point(lane, bar) {
    here = [lane, bar];
    told.textContent = describe(lane, bar);
    all(".here", chart).forEach((each) => each.classList.remove("here"));
    one(`[data-lane="${lane}"][data-bar="${bar}"]`, chart)?.classList.add("here");
  }
  const group = ([lane, bar]) => line.groups[line.lanes[lane].bars[bar][2]];
  const find = (event) => event.target.closest(".bar")?.dataset;
  chart.addEventListener("pointermove", (event) => {
    const bar = find(event);
    if (bar) point(Number(bar.lane), Number(bar.bar));
  });
  chart.addEventListener("click", (event) => {
    const bar = find(event);
    if (bar) searchTests(group([bar.lane, bar.bar]));
  });
  chart.addEventListener("keydown", (event) => {
    const [lane, bar] = here || [0, -1];
    const bars = (index) => line.lanes[index].bars.length;
    if (event.key === "ArrowRight") point(lane, Math.min(bars(lane) - 1, bar + 1));
    else if (event.key === "ArrowLeft") point(lane, Math.max(0, bar - 1));
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const next = Math.max(0, Math.min(line.lanes.length - 1, lane + (event.key === "ArrowDown" ? 1 : -1)));
      point(next, Math.max(0, Math.min(bars(next) - 1, bar)));
    } else if (event.key === "Enter" && here) searchTests(group(here));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { figure: h("figure", { class: "chart" }, h("div", { class: "frame" }, chart), told), draw };
}

// What the order of the tests cost, in words.
function orderOf(line) {
  const { workers, foreseen, pole } = line.plan;
  if (workers === 1) return null;
  const [{ seconds, bound }] = foreseen;
  const busy = line.lanes.reduce((sum, lane) => sum + lane.busy, 0) / (workers * Math.max(line.ended, 1e-9));
  const gain = line.ended - seconds;
  return h(
    "dl",
    { class: "figures" },
    figure("The tests took", duration(line.ended), `${workers} workers, busy ${percent(100 * Math.min(1, busy))} of it`),
    figure(
      "Longest first",
      duration(seconds),
      gain > 0.05 * line.ended
        ? `${duration(gain)} less, if each free worker began the longest class that is left`
        : "by the queue of a parallel run: the order was about as good as it gets",
    ),
    figure("At least", duration(bound), pole.seconds >= bound ? "the longest pole, whatever else there is" : "all work shared out evenly"),
    figure("The longest pole", duration(pole.seconds), `${pole.id.split(".").at(-1)}, with the set-up of its class`),
  );
}
const figure = (title, value, more) => h("div", {}, h("dt", {}, title), h("dd", {}, h("strong", {}, value), more && h("span", {}, more)));
