// Durations as a plot: how many tests take how long, and what they make of the whole time. The edges are those of 1, 2 and 5.
const EDGES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

function durationPlot(list) {
  const bins = Array.from({ length: EDGES.length + 1 }, () => ({ tests: 0, seconds: 0 }));
  for (const row of list) {
    const seconds = secondsOf(row);
    const found = EDGES.findIndex((edge) => seconds < edge);
    const bin = bins[found < 0 ? EDGES.length : found];
    bin.tests += 1;
    bin.seconds += seconds;
  }
  let [first, last] = [bins.findIndex((bin) => bin.tests), bins.findLastIndex((bin) => bin.tests)];
  while (last - first < 5) {
    if (first > 0) first -= 1;
    if (last < bins.length - 1) last += 1;
  }
  const shown = bins.slice(first, last + 1);
  const all = {
    tests: list.length,
    seconds: Math.max(
      1e-9,
      shown.reduce((sum, bin) => sum + bin.seconds, 0),
    ),
  };
  const [width, height, base] = [720, 220, 180];
  const step = width / shown.length;
  const most = Math.max(...shown.map((bin) => Math.max(bin.tests / all.tests, bin.seconds / all.seconds)));
  const scale = (share) => (share / most) * (base - 24);
  const nameOfBin = (index) =>
    index === 0
      ? `under ${tick(EDGES[0])}`
      : index > EDGES.length - 1
        ? `over ${tick(EDGES.at(-1))}`
        : `${tick(EDGES[index - 1])} to ${tick(EDGES[index])}`;
  const bars = shown.map((bin, index) => {
    const x = index * step;
    const tests = `${plural(bin.tests, "test")} (${percent((100 * bin.tests) / all.tests)})`;
    const title = `${nameOfBin(first + index)}: ${tests}, ${duration(bin.seconds)} (${percent((100 * bin.seconds) / all.seconds)})`;
    const bar = (share, offset, name) => {
      const tall = share ? Math.max(1.5, scale(share)) : 0;
      return svg("rect", { class: name, x: x + offset, y: base - tall, width: step * 0.36, height: tall, rx: 1.5 });
    };
    return svg(
      "g",
      {},
      svg("title", {}, title),
      svg("rect", { class: "hit", x, y: 0, width: step, height }),
      bar(bin.tests / all.tests, step * 0.12, "count"),
      bar(bin.seconds / all.seconds, step * 0.5, "time"),
      bin.tests
        ? svg(
            "text",
            { x: x + step * 0.5, y: base - scale(Math.max(bin.tests / all.tests, bin.seconds / all.seconds)) - 6, "text-anchor": "middle" },
            number(bin.tests),
          )
        : "",
    );
  });
  const ticks = shown
    .slice(1)
    .map((_, index) => svg("text", { x: (index + 1) * step, y: base + 18, "text-anchor": "middle" }, tick(EDGES[first + index])));
  const plot = svg(
    "svg",
    {
      class: "plot",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      "aria-label": shown
        .map(
          (bin, index) =>
            bin.tests &&
            `${nameOfBin(first + index)}: ${plural(bin.tests, "test")}, ${percent((100 * bin.seconds) / all.seconds)} of the time`,
        )
        .filter(Boolean)
        .join("; "),
    },
    svg("line", { x1: 0, x2: width, y1: base + 0.5, y2: base + 0.5 }),
    bars,
    ticks,
  );
  return h(
    "figure",
    { class: "chart" },
    h("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "Plot of durations" }, plot),
    h(
      "figcaption",
      { class: "legend" },
      h("span", { class: "count" }, h("i", { "aria-hidden": "true" }), "share of the tests, with their number"),
      h("span", { class: "time" }, h("i", { "aria-hidden": "true" }), "share of the time"),
    ),
  );
}

// How much of the time the slowest tests take.
function concentration(list) {
  const times = list.map(secondsOf).sort((a, b) => b - a);
  const all = times.reduce((sum, seconds) => sum + seconds, 0);
  if (times.length < 20 || !all) return "";
  const few = Math.max(1, Math.round(times.length / 100));
  const share = times.slice(0, few).reduce((sum, seconds) => sum + seconds, 0) / all;
  const half = times.reduce(([count, sum], seconds) => (sum < all / 2 ? [count + 1, sum + seconds] : [count, sum]), [0, 0])[0];
  const who = few === 1 ? "The slowest test takes" : `The slowest ${number(few)} tests take`;
  return `${who} ${percent(100 * share)} of the tests' time; half of it goes to ${plural(half, "test")}.`;
}
