"""How long assertions of screenshots take, ours in turn with Playwright's ``toHaveScreenshot``; and comparing images.

    python benchmarks/screenshots.py [--rounds N] [--only assertions|compare]

Both look at the same pages of the sample project, whole, at three breakpoints, in the same Chromium; `@playwright/test`
is installed by npm into a temporary folder. Times are of one screenshot: a third of `assertResponsive`, or of as many
`setViewportSize`, `reload` and `toHaveScreenshot`. What fails differs from its baseline in a square of 12 pixels. Prints
Markdown tables for the README.

Machines are noisy and their speed drifts: the two take turns, and the figure that counts is the ratio of the medians.
What comparing costs is CPU time, and the fastest quarter counts.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

from runs import ROOT, table

sys.path.insert(0, str(ROOT))

PLAYWRIGHT = "@playwright/test@1.65.1"
PAGES = {"home": "/", "catalogue": "/catalogue/"}
SIZES = ((1024, 800), (800, 600), (320, 540))
KINDS = {"passes": "passing", "reloads": "passing, the page loaded anew for each", "fails": "failing"}
TARGETS = {"passes": 0.50, "reloads": 0.60, "fails": 0.45}
CONFIG = """
module.exports = {
  timeout: 0, expect: { timeout: 60_000 }, workers: 1, reporter: "null", updateSnapshots: "missing", testDir: ".", outputDir: "results",
  snapshotPathTemplate: "baselines/{arg}{ext}",
  use: { launchOptions: { executablePath: process.env.BENCH_CHROMIUM } },
};
"""
SPEC = """
const { test, expect } = require("@playwright/test");
test("screenshots", async ({ page }) => {
  const tell = (path, data) => fetch(process.env.BENCH_URL + path, { method: "POST", body: JSON.stringify(data) });
  for (;;) {
    const task = await (await tell("/next", {})).json();
    if (!task.url) return;
    await page.goto(task.url, { waitUntil: "networkidle" });
    const began = performance.now();
    let failed = 0;
    for (const [width, height] of task.sizes) {
      await page.setViewportSize({ width, height });
      if (task.reload) await page.reload();
      await expect(page).toHaveScreenshot(`${task.name}_${width}.png`, { fullPage: true }).catch(() => { failed += 1; });
    }
    await tell("/done", { seconds: (performance.now() - began) / 1000, failed });
  }
});
"""
Measure = Callable[[str, str, bool], tuple[float, int]]
"""Takes a page's address, the name of baselines and whether to reload; returns seconds, and how many have failed."""


# The pages


@contextmanager
def library(folder: Path) -> Iterator[str]:
    """Serve the sample project with the books of its fixture, and yield its address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{folder / 'library.sqlite3'}"}
    manage = [sys.executable, str(ROOT / "sample_project" / "manage.py")]
    for arguments in (["migrate", "-v0"], ["loaddata", "library", "-v0"]):
        subprocess.run([*manage, *arguments], env=environment, check=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = probe.server_port
    command = [*manage, "runserver", "--noreload", f"127.0.0.1:{port}"]
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _await(lambda: urllib.request.urlopen(url, timeout=5).close())
        yield url
    finally:
        server.terminate()
        server.wait()


def _await(action: Callable[[], None]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return action()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


# The two


@contextmanager
def playwright(folder: Path) -> Iterator[Measure]:
    """Install and start Playwright Test with one endless test, which does what it is told."""
    folder.mkdir()
    environment = {**os.environ, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1", "CI": ""}
    npm = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(folder), PLAYWRIGHT]
    subprocess.run(npm, env=environment, check=True, stdout=subprocess.DEVNULL)
    (folder / "playwright.config.js").write_text(CONFIG)
    (folder / "screenshots.spec.js").write_text(SPEC)
    tasks: queue.Queue[Mapping[str, Any]] = queue.Queue()
    done: queue.Queue[Mapping[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(tasks.get() if self.path == "/next" else done.put(body)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment["BENCH_URL"] = f"http://127.0.0.1:{server.server_port}"
    environment["BENCH_CHROMIUM"] = chromium()
    command = ["node", str(folder / "node_modules" / "@playwright" / "test" / "cli.js"), "test"]
    with open(folder / "output.txt", "w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)

    def measure(url: str, name: str, reload: bool) -> tuple[float, int]:
        tasks.put({"url": url, "name": name, "reload": reload, "sizes": SIZES})
        while True:
            with suppress(queue.Empty):
                told = done.get(timeout=1)
                return told["seconds"], told["failed"]
            if process.poll() is not None:
                raise RuntimeError(f"Playwright has ended: {(folder / 'output.txt').read_text()[-2000:]}")

    try:
        yield measure
    finally:
        tasks.put({})
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        server.shutdown()


@contextmanager
def testkit(folder: Path) -> Iterator[Measure]:
    """Start a browser as a test case of ours does."""
    folder.mkdir()
    os.environ.update({"TESTKIT_WITH_NEEDLE": "1", "CI": ""})
    from django.conf import settings

    settings.configure()
    from testkit import NeedleTestCase, ResponsiveScreenshotMixin
    from testkit.screenshots import browsers

    class Pages(ResponsiveScreenshotMixin, NeedleTestCase):
        def runTest(self) -> None: ...

    case = Pages()

    def measure(url: str, name: str, reload: bool) -> tuple[float, int]:
        case.driver.get(url)
        began = time.perf_counter()
        failed = 0
        try:
            case.assertResponsive("html", name, reload=reload, sizes=SIZES)
        except AssertionError as error:
            failed = int(str(error).split()[0])
        return time.perf_counter() - began, failed

    with chdir(folder):
        Pages.setUpClass()
        try:
            yield measure
        finally:
            Pages.tearDownClass()
            Pages.doClassCleanups()
            browsers.end_all()


def chromium() -> str:
    """Return the path of the browser that both use."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        sys.exit("there is no Chromium: apt-get install chromium chromium-driver")
    return found


# The measurements


def measure_assertions(rounds: int) -> str:
    """Return a table of what one screenshot costs."""
    times: dict[tuple[str, str], list[float]] = {(who, kind): [] for who in ("testkit", "playwright") for kind in KINDS}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="testkit-bench-")))
        url = stack.enter_context(library(folder))
        both = {
            "playwright": stack.enter_context(playwright(folder / "playwright")),
            "testkit": stack.enter_context(testkit(folder / "testkit")),
        }
        for who, measure in both.items():
            for page, path in PAGES.items():
                for suffix in ("", "-fails"):
                    measure(url + path, page + suffix, False)  # writes the baselines
            spoil([file for file in (folder / who).rglob("*.png") if "node_modules" not in file.parts])
        for number in range(-1, rounds):
            order = list(both)[:: 1 if number % 2 else -1]
            for kind in KINDS:
                for page, path in PAGES.items():
                    for who in order:
                        name = f"{page}-fails" if kind == "fails" else page
                        seconds, failed = both[who](url + path, name, kind == "reloads")
                        if failed != (len(SIZES) if kind == "fails" else 0):
                            raise RuntimeError(f"{who}: {failed} screenshots of {name} have failed ({kind})")
                        if number >= 0:
                            times[who, kind].append(seconds / len(SIZES) * 1000)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rows = []
    for kind, what in KINDS.items():
        ours, theirs = (statistics.median(times[who, kind]) for who in ("testkit", "playwright"))
        rows.append([what, f"{theirs:.0f} ms", f"{ours:.0f} ms", f"{ours / theirs:.0%}", f"{TARGETS[kind]:.0%}"])
    return table(["a screenshot", "Playwright", "testkit", "of its time", "at most"], rows)


def spoil(files: Sequence[Path]) -> None:
    """Paint a square into each baseline that is to differ."""
    from PIL import Image

    for file in files:
        if "-fails" in file.name:
            with Image.open(file) as image:
                image.paste((255, 0, 255), (40, 400, 52, 412))
                image.save(file)


def tall_images() -> tuple[bytes, bytes]:
    """Return two pictures of 1024 × 3000 pixels as the browser makes them, which differ in a square far below."""
    from testkit.screenshots import browsers
    from testkit.screenshots.capture import Clip, capture, set_viewport
    from testkit.screenshots.settle import settle
    from testkit.screenshots.viewports import Breakpoint

    with tempfile.TemporaryDirectory(prefix="testkit-bench-") as folder, library(Path(folder)) as url:
        driver = browsers.shared(browsers.Settings())
        set_viewport(driver, Breakpoint(1024, 800))
        driver.get(url)
        driver.execute_script("const main = document.querySelector('main'); main.append(main.cloneNode(true))")
        images = []
        for style in ("", "body::after { content: ''; position: absolute; top: 2800px; border: 6px solid }"):
            with settle(driver, style=style):
                images.append(capture(driver, Clip(0, 0, 1024, 3000)))
        browsers.end_all()
    return images[0], images[1]


def measure_compare(rounds: int) -> str:
    """Return a table of what comparing two images of 1024 × 3000 pixels costs."""
    from testkit.screenshots.compare import Tolerance, compare, compare_and_draw

    before, changed = tall_images()
    same = bytes(bytearray(before))
    without = mock.patch.dict(sys.modules, {"blazediff": None})
    tolerant = Tolerance(max_diff_pixels=1000)
    cases = [
        ("equal byte by byte", "0.3 ms", lambda: compare(before, same)),
        ("changed", "60 ms", lambda: compare(before, changed)),
        ("changed, with a picture of it", "", lambda: compare_and_draw(before, changed)),
        ("changed within the tolerance", "", lambda: compare(before, changed, tolerant)),
    ]
    times: list[list[list[float]]] = [[[], []] for _ in cases]
    for _ in range(rounds * 5):
        for number, (_, _, action) in enumerate(cases):
            for column in (0, 1):
                with without if column == 0 else ExitStack():
                    began = time.process_time()
                    action()
                    times[number][column].append((time.process_time() - began) * 1000)
    rows = [
        [what, *(_shown(_fastest(found)) for found in columns), target]
        for (what, target, _), columns in zip(cases, times, strict=True)
    ]
    return table(["two images of 1024 × 3000", "Pillow alone", "blazediff installed", "at most"], rows)


def _fastest(times: Sequence[float]) -> float:
    """Return the median of the fastest quarter: a noisy machine can only make the others slower."""
    return statistics.median(sorted(times)[: max(len(times) // 4, 1)])


def _shown(milliseconds: float) -> str:
    return f"{milliseconds:.0f} ms" if milliseconds >= 1 else f"{milliseconds:.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="how often each is measured")
    parser.add_argument("--only", choices=("assertions", "compare"), help="one of the two tables")
    arguments = parser.parse_args()
    measurements = {"assertions": measure_assertions, "compare": measure_compare}
    for name, measure in measurements.items():
        if arguments.only in (None, name):
            print(measure(arguments.rounds), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
