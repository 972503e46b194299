// Elements are made from text nodes and attributes alone: what tests say is never read as markup.
const one = (selector, from = document) => from.querySelector(selector);
const all = (selector, from = document) => Array.from(from.querySelectorAll(selector));

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false && child !== ""));
  return element;
}
const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

const say = (text) => {
  one("#said").textContent = text;
};
const integer = new Intl.NumberFormat("en-US");
const number = (value) => integer.format(value);
const plural = (count, word, words = `${word}s`) => `${number(count)} ${count === 1 ? word : words}`;
const percent = (value) => `${value >= 99.95 || value < 0.05 ? Math.round(value) : value.toFixed(1)} %`;

function duration(seconds) {
  if (seconds < 0.001) return seconds <= 0 ? "0" : "<1 ms";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(seconds < 9.995 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  return whole < 3600
    ? `${Math.floor(whole / 60)} min ${whole % 60} s`
    : `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

// For the marks of an axis, which are round.
const tick = (seconds) => (seconds >= 1 && seconds < 60 ? `${Math.round(seconds * 100) / 100} s` : duration(seconds));

function size(characters) {
  if (characters < 10_000) return plural(characters, "character");
  return `${(characters / 1e6).toFixed(characters < 1e6 ? 2 : 1)} million characters`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // not over http, and not where a site forbids it
    const field = h("textarea", { readonly: true, class: "hidden" });
    field.value = text;
    (one("dialog[open]") || document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

function copyButton(text, label) {
  const button = h(
    "button",
    {
      type: "button",
      class: "copy",
      "aria-label": label,
      click: async () => {
        await copy(text);
        button.textContent = "Copied";
        say("Copied.");
        setTimeout(() => {
          button.textContent = "Copy";
        }, 1500);
      },
    },
    "Copy",
  );
  return button;
}

// What is told of a state has a sign as well as a colour.
const [CHECK, CROSS, BANG] = ["M4 8.4l2.8 2.8L12 5", "M5 5l6 6M11 5l-6 6", "M8 4v4.6M8 11.8v.2"];
const SIGNS = {
  passed: CHECK,
  failed: CROSS,
  error: BANG,
  "expected failure": CHECK,
  "unexpected success": BANG,
  skipped: "M5 8h6",
  "not run": "M8 8v.01",
  lost: "M6 6.2a2 2 0 1 1 3 1.8c-.7.4-1 .7-1 1.4M8 11.8v.2",
  flaky: "M11.6 8a3.6 3.6 0 1 1-1.1-2.6M11.8 3.4v2.4H9.4",
  close: CROSS,
};
const sign = (name) =>
  svg("svg", { class: "sign", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: SIGNS[name] || SIGNS["not run"] }));
const badge = (outcome, word = outcome) =>
  h("span", { class: "badge", "data-state": outcome.replaceAll(" ", "-") }, sign(outcome), h("span", { class: "word" }, word));

const head = (title, ...rest) => h("div", { class: "head" }, h("h2", {}, title), ...rest);
const note = (...text) => h("p", { class: "note" }, ...text);
const empty = (text) => h("p", { class: "empty" }, text);
