"""What the report page costs: its size, what a run pays for it, and how fast a browser has it and answers to keys.

    python benchmarks/page.py [--tests N] [--rounds N]

The facts are made up: four workers, some tests that fail, are flaky, skipped or slow, a request with queries in each. Of the
times in the browser (Chromium) the median of the rounds counts, of a round's keys the slowest one.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import zlib
from pathlib import Path

from runs import ROOT, table
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

sys.path.insert(0, str(ROOT))  # for what the tests make up

from testkit.listeners.html import html_listener
from tests.listeners.told import many
from tests.screenshots.test_review import FLAGS
from tests.servers import find

PAINTED = """
const told = arguments[0];
const look = () => {
  const entry = performance.getEntriesByName("first-contentful-paint")[0];
  if (!entry || document.documentElement.dataset.ready === undefined) setTimeout(look, 20);
  else told([entry.startTime, performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd]);
};
look();
"""
TYPED = """
const told = arguments[0];
const field = document.querySelector("#search");
const times = [];
const texts = ["t", "te", "tes", "test", "test_", "test_s", "test_sends", "test_sends invoice", "test_sends invoice 7", ""];
(async () => {
  for (const text of texts) {
    const before = performance.now();
    field.value = text;
    field.dispatchEvent(new Event("input"));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));  // it is on the screen by then
    times.push(performance.now() - before);
  }
  told(Math.max(...times));
})();
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, nargs="+", default=[100, 10_000, 30_000])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        driver = _browser(folder)
        try:
            for count in given.tests:
                page = Path(folder, f"{count}.html")
                heard, written = _write(count, page)
                data = page.read_bytes()
                painted, ready, typed = _look(driver, page, given.rounds)
                rows.append(
                    [
                        f"{count:,}",
                        f"{len(data) / 1e6:.2f} MB",
                        f"{len(zlib.compress(data)) / 1e6:.2f} MB",
                        f"{1e6 * heard / count:.0f} µs",
                        f"{1000 * written:.0f} ms",
                        f"{painted:.0f} ms",
                        f"{ready:.0f} ms",
                        f"{typed:.0f} ms",
                    ]
                )
        finally:
            driver.quit()
    head = [
        "tests",
        "page",
        "zipped",
        "CPU for each test",
        "CPU for the page",
        "first paint",
        "all there",
        "slowest key",
    ]
    print(table(head, rows))


def _write(count: int, page: Path) -> tuple[float, float]:
    """Write the page, and return the CPU seconds of hearing all facts and of making the page of them."""
    facts = list(many(count))
    listener = html_listener(page)
    started = time.process_time()
    for fact in facts[:-1]:
        listener(fact)
    heard = time.process_time()
    listener(facts[-1])
    return heard - started, time.process_time() - heard


def _browser(folder: str) -> webdriver.Chrome:
    options = webdriver.ChromeOptions()
    options.binary_location = find("chromium", "chromium-browser", "google-chrome", package="chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder}/profile"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(find("chromedriver", package="chromium-driver")))


def _look(driver: webdriver.Chrome, page: Path, rounds: int) -> tuple[float, float, float]:
    """Return milliseconds to the first paint, to the filled page, and of the slowest key in the search field."""
    figures = []
    for _ in range(rounds):
        driver.get("about:blank")
        driver.get(f"{page.as_uri()}#tests")
        painted, ready = driver.execute_async_script(PAINTED)
        figures.append((painted, ready, driver.execute_async_script(TYPED)))
    painted, ready, typed = (statistics.median(each) for each in zip(*figures, strict=True))
    return painted, ready, typed


if __name__ == "__main__":
    main()
