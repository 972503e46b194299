"""The review page, as a reviewer has it: in a real browser, from its file and from the server that approves."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from testkit.screenshots import results
from testkit.screenshots.results import Result, State
from testkit.screenshots.review import write_page
from testkit.screenshots.review.server import LARGEST_REQUEST, ReviewServer
from testkit.screenshots.review.shots import read_shots
from tests.projects import clean_environment
from tests.screenshots.reviewed import HOSTILE, add_some_of_each, begin, png

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser(chromium, tmp_path_factory):
    """A Chromium of which every message on the console can be read."""
    options = webdriver.ChromeOptions()
    options.binary_location = chromium.binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromium.driver))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def of_each(tmp_path_factory):
    """A run with screenshots in every state, one of them with a name that is markup."""
    with pytest.MonkeyPatch.context() as patch:
        run = begin(tmp_path_factory.mktemp("project"), patch)
        add_some_of_each(run)
        path = f"{run.folder}/screenshots/baseline/chromium-linux/hostile.png"
        hostile = Result(HOSTILE, HOSTILE, HOSTILE, State.MISSING, HOSTILE, HOSTILE, path, width=50, height=50)
        results.add(hostile, new=png(50, 50, "gray"))
        assert write_page(run.results) == run.results / "index.html"
        yield run


@pytest.fixture
def page(of_each, browser):
    """The page from its file, in a window 1280 pixels wide."""
    yield open_page(browser, (of_each.results / "index.html").as_uri())
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.fixture
def run(tmp_path, monkeypatch):
    return begin(tmp_path, monkeypatch)


def open_page(browser, url, width=1280, height=900, scheme="light"):
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    browser.get("about:blank")  # with only another fragment it would not be loaded anew
    browser.get(url)
    return browser


def press(page, *keys):
    for key in keys:
        page.switch_to.active_element.send_keys(key)


def one(page, selector):
    return page.find_element(By.CSS_SELECTOR, selector)


def named(page, title):
    """Return the article of a screenshot by its name and label."""
    return one(page, f'.shot:has(.frame[aria-label="Images of {title} in chromium-linux"])')


def shown(page, title):
    """Return the kinds of images of a screenshot that can be seen."""
    images = named(page, title).find_elements(By.CSS_SELECTOR, "img")
    script = "return arguments[0].map(i => [i.className, getComputedStyle(i).visibility])"
    return [kind for kind, visibility in page.execute_script(script, images) if visibility == "visible"]


def titles(page):
    """Return the titles of the screenshots that are not filtered out."""
    script = "return [...document.querySelectorAll('.shot')].filter(s => s.checkVisibility()).map(s => s.querySelector('.frame').ariaLabel)"
    return [
        title.removeprefix("Images of ").removesuffix(" in chromium-linux") for title in page.execute_script(script)
    ]


def until(page, condition):
    return WebDriverWait(page, 10, poll_frequency=0.05).until(condition)


# The page as a file


def test_the_folder_is_whole_by_itself(of_each):
    """The page needs nothing from elsewhere: it may be moved, and all that it shows of what differs is beside it."""
    html = (of_each.results / "index.html").read_text(encoding="utf-8")
    sources = [unquote(source) for source in re.findall(r'<img [^>]*src="([^"]+)"', html)]
    beside = [source for source in sources if not source.startswith("../../screenshots/baseline/")]
    assert len(beside) == 3 * 3 + 3 * 3 + 4
    assert all((of_each.results / source).is_file() for source in sources)
    assert not any(".." in source for source in beside)
    assert "http" not in re.sub(r"&[^;]+;|http-equiv", "", html)
    assert (of_each.results / "index.html").stat().st_size < 100_000


def test_names_and_messages_are_text(page):
    """Whatever a name, a label, a browser, a test or a message has in it is shown as it is, and none of it is run."""
    assert HOSTILE in [heading.text for heading in page.find_elements(By.CSS_SELECTOR, "h2")]
    hostile = one(page, f".shot[data-id='{next(s.id for s in read_shots() if s.result.name == HOSTILE)}']")
    assert hostile.text.count(HOSTILE) >= 3  # label, browser, message
    assert page.execute_script("return [typeof hacked, document.scripts.length, document.images.length]") == [
        "undefined",
        1,
        3 * 3 + 3 * 3 + 4 + 3,
    ]


def test_the_keys_1_to_5_choose_what_is_seen(page):
    """Baseline, new, diff, a slider over both, and both in turn; the buttons say which of these it is."""
    seen = {}
    for key in "12345":
        press(page, key)
        pressed = page.find_elements(By.CSS_SELECTOR, ".modes [aria-pressed=true]")
        seen[pressed[0].text] = shown(page, "home 800")
        assert len(pressed) == 1
    assert seen.pop("Blink") in (["before"], ["new"])
    assert seen == {"Baseline": ["before"], "New": ["new"], "Diff": ["diff"], "Slider": ["before", "new"]}
    first = shown(page, "home 800")
    until(page, lambda _: shown(page, "home 800") != first)
    press(page, Keys.SPACE)  # from here on by hand
    first = shown(page, "home 800")
    press(page, Keys.SPACE)
    assert shown(page, "home 800") != first


def test_what_there_is_not_is_said(page):
    """A screenshot that has no baseline, or one that is no image, shows the new one, and says so where that was asked for."""
    assert shown(page, "card 200 × 80") == ["new"]
    press(page, "1")
    assert shown(page, "card 200 × 80") == []
    assert "There is no baseline" in named(page, "card 200 × 80").text
    press(page, "4")
    assert shown(page, "card 200 × 80") == ["new"]
    assert shown(page, "broken 320") == ["new"]
    assert "an LFS pointer: git lfs pull" in named(page, "broken 320").text


def test_the_slider_is_moved_by_keys_and_pointer(page):
    """Left of the slider is the baseline, right of it the new image, from where on a key or a click puts it."""
    press(page, "4")
    slider = named(page, "books/list 1024").find_element(By.CSS_SELECTOR, ".slider")
    fresh = named(page, "books/list 1024").find_element(By.CSS_SELECTOR, ".new")
    assert fresh.value_of_css_property("clip-path") == "inset(0px 0px 0px 50%)"
    slider.send_keys(Keys.HOME)
    assert fresh.value_of_css_property("clip-path") == "inset(0px 0px 0px 0%)"
    webdriver.ActionChains(page).move_to_element_with_offset(slider, slider.size["width"] // 4, 0).click().perform()
    share = float(re.search(r"([\d.]+)%", fresh.value_of_css_property("clip-path"))[1])
    assert share == pytest.approx(75, abs=1)


def test_images_of_different_sizes_lie_at_one_scale(page):
    """Where the size changed, both images begin at the same corner and are shown at the same scale."""
    press(page, "4")
    images = named(page, "books/list 800").find_elements(By.CSS_SELECTOR, "img")
    boxes = page.execute_script("return arguments[0].map(i => i.getBoundingClientRect().toJSON())", images)
    assert len({(box["left"], box["top"], round(box["width"])) for box in boxes}) == 1
    assert boxes[1]["height"] / boxes[0]["height"] == pytest.approx(700 / 600, rel=0.01)


def test_the_change_is_in_sight(page):
    """A change far down the page is scrolled to, in each frame, and marked at its edge."""
    for width in (1024, 800, 320):
        frame = named(page, f"home {width}").find_element(By.CSS_SELECTOR, ".frame")
        top, height, scale = page.execute_script(
            "const f = arguments[0]; return [f.scrollTop, f.clientHeight, f.querySelector('.stage').clientHeight / 1800]",
            frame,
        )
        assert top < 1500 * scale < top + height, width
    mark, stage = page.execute_script(
        "const s = arguments[0]; return [s.querySelector('.where').offsetTop, s.querySelector('.stage').clientHeight]",
        named(page, "home 800"),
    )
    assert mark / stage == pytest.approx(1500 / 1800, abs=0.01)


def test_zoom_is_of_the_images_own_pixels(page):
    """At 100 % a pixel of the image is one of the page, at 200 % it is four, and fit never makes it larger."""
    widths = []
    for _ in range(3):
        stages = page.find_elements(By.CSS_SELECTOR, ".shot:not([hidden]) .stage")
        widths.append(page.execute_script("return arguments[0].map(s => s.getBoundingClientRect().width)", stages))
        press(page, "z")
    fit, whole, double = widths
    assert set(whole) == {50, 200, 320, 800, 1024}
    assert double == [2 * width for width in whole]
    assert all(a <= b for a, b in zip(fit, whole, strict=True))
    assert fit != whole


def test_filters_by_state_and_text_stay_in_the_address(page):
    """States are chosen by buttons and names by words; a reload comes back to what was chosen."""
    assert "about 320" not in titles(page)
    assert len(titles(page)) == 10
    one(page, ".chip[data-state=passed]").click()
    one(page, ".chip[data-state=changed]").click()
    assert set(titles(page)) >= {"about 320", "card 200 × 80"}
    assert "home 320" not in titles(page)
    one(page, ".chip[data-state=changed]").click()
    press(page, "/")
    press(page, "o", "m", "e", " ", "3", "2", "j")
    assert one(page, "#search").get_attribute("value") == "ome 32j"
    assert titles(page) == []
    assert one(page, "#empty").text == "No screenshot passes these filters."
    press(page, Keys.BACKSPACE)
    assert titles(page) == ["home 320"]
    press(page, Keys.ESCAPE, "2", "z")
    page.refresh()
    assert titles(page) == ["home 320"]
    assert one(page, ".chip[data-state=passed]").get_attribute("aria-pressed") == "true"
    assert [button.text for button in page.find_elements(By.CSS_SELECTOR, ".segments [aria-pressed=true]")] == [
        "New",
        "100 %",
    ]


def test_j_and_k_go_from_one_to_the_next(page):
    """The focus goes with them, over what is shown alone; w shows the screenshot alone."""
    order = titles(page)
    visited = []
    for key in "jjjjkj":
        press(page, key)
        visited.append(
            page.switch_to.active_element.find_element(By.CSS_SELECTOR, ".frame").get_attribute("aria-label")
        )
    expected = [order[at] for at in (0, 1, 2, 3, 2, 3)]
    assert [title.removeprefix("Images of ").removesuffix(" in chromium-linux") for title in visited] == expected
    press(page, "w")
    assert page.switch_to.active_element.size["width"] > 1200
    assert page.execute_script("return document.activeElement.offsetTop - scrollY") >= one(page, ".top").size["height"]


def test_shortcuts_are_told_and_can_be_turned_off(page):
    """? lists the keys; single letters can be turned off (WCAG 2.1.4), which lasts."""
    press(page, "?")
    told = one(page, "#help").text
    assert all(word in told for word in ("next and previous screenshot", "zoom", "filter", "screenshots review"))
    one(page, "#keys").click()
    press(page, Keys.ESCAPE)
    page.refresh()
    press(page, "1")
    assert one(page, ".modes [aria-pressed=true]").text == "Diff"
    one(page, "#help-open").click()
    one(page, "#keys").click()
    press(page, Keys.ESCAPE, "1")
    assert one(page, ".modes [aria-pressed=true]").text == "Baseline"


def test_screen_readers_get_names_and_states(page):
    """The browser's own accessibility tree has a name for every control and image, and only real buttons are pressed."""
    press(page, "4")
    nodes = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    wanted = {"button", "image", "slider", "searchbox", "article", "group", "main", "heading", "region"}
    found: dict[str, list[str]] = {}
    for node in nodes:
        role = node.get("role", {}).get("value")
        if role in wanted and not node.get("ignored"):
            found.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    assert found.keys() >= {"button", "image", "slider", "searchbox", "article", "heading"}
    assert [role for role, names in found.items() if role != "main" and not all(names)] == []
    for role in ("article", "image", "slider"):
        assert len(set(found[role])) == len(found[role]), role
    assert page.find_elements(By.CSS_SELECTOR, "[onclick], [role=button], a:not([href])") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(of_each, browser, scheme):
    """All text has the contrast that WCAG AA asks for, 4.5 to 1, and the page is light or dark as the system is."""
    page = open_page(browser, (of_each.results / "index.html").as_uri(), scheme=scheme)
    one(page, ".chip[data-state=passed]").click()
    pairs = page.execute_script("""
        const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (!c.startsWith("rgba")) return c; } };
        return [...document.querySelectorAll("body *")].filter(e => e.checkVisibility() && [...e.childNodes].some(
            n => n.nodeType === 3 && n.textContent.trim())).map(e => [e.className, getComputedStyle(e).color, ground(e)])
    """)
    assert len(pairs) > 50
    low = {(name, contrast(text, ground)) for name, text, ground in pairs if contrast(text, ground) < 4.5}
    assert low == set()
    body = luminance(one(page, "body").value_of_css_property("background-color"))
    assert (body > 0.5) is (scheme == "light")


def luminance(colour):
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(text, ground):
    light, dark = sorted((luminance(text), luminance(ground)), reverse=True)
    return round((light + 0.05) / (dark + 0.05), 2)


def test_a_phone_scrolls_down_alone(of_each, browser):
    """At 320 pixels nothing of the page is wider than the window: in no mode, at no zoom, nor in the help."""
    page = open_page(browser, (of_each.results / "index.html").as_uri(), width=320, height=640)
    one(page, ".chip[data-state=passed]").click()
    for key in ("1", "2", "3", "4", "5", "z", "z", "?"):
        press(page, key)
        inside, wanted = page.execute_script(
            "const e = document.scrollingElement; return [e.clientWidth, e.scrollWidth]"
        )
        assert wanted <= inside <= 320, key
    press(page, Keys.ESCAPE)
    boxes = page.execute_script(
        "return [...document.querySelectorAll('header button, .shot button')].filter(b => b.checkVisibility())"
        ".map(b => [b.textContent, b.getBoundingClientRect().toJSON()])"
    )
    assert len(boxes) > 20
    assert [text for text, box in boxes if box["left"] < 0 or box["right"] > 320 or box["height"] < 24] == []
    page.execute_script("scrollTo(0, 2000)")
    assert page.execute_script("return document.querySelector('.modes').getBoundingClientRect().top") == 0


def test_images_load_when_they_come_near(run, browser):
    """Of a long page, the images far below are not loaded before somebody scrolls there."""
    for number in range(14):
        run.add(f"page{number:02}", "320", new=png(320, 900, spot=(5, number)), state=State.MISSING)
    page = open_page(browser, write_page().as_uri())
    loaded = "return [...document.querySelectorAll('img.new')].map(i => i.naturalWidth > 0)"
    until(page, lambda _: page.execute_script(loaded)[0])
    assert not page.execute_script(loaded)[-1]
    page.execute_script("scrollTo(0, document.body.scrollHeight)")
    until(page, lambda _: page.execute_script(loaded)[-1])


def test_a_run_without_differences_says_so(run, browser):
    """Where all passed, the page says that there is nothing to review."""
    for width in ("1024", "320"):
        run.add("home", width, before=png(), new=png())
    page = open_page(browser, write_page().as_uri())
    assert one(page, "#empty").text == "Nothing to review: all 2 screenshots equal their baselines."
    assert titles(page) == []


def test_the_page_of_the_last_process_has_the_results_of_all(run):
    """Processes that end at once write the page together, and it has what each of them compared."""
    script = (
        "import sys; from testkit.screenshots import results as r; from testkit.screenshots.review import write_page_at_exit\n"
        "write_page_at_exit(); write_page_at_exit()\n"
        "r.add(r.Result(f'name{sys.argv[1]}', '', 'chromium', r.State.MISSING, baseline='b.png'), new=b'x')"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(number)], cwd=run.folder) for number in range(3)]
    assert [process.wait(60) for process in processes] == [0] * 3
    html = (run.results / "index.html").read_text()
    assert [number for number in range(3) if f">name{number}<" not in html] == []
    assert sorted(path.name for path in run.results.iterdir()) == ["images", "index.html", "results", "run"]


# The server


@contextmanager
def serving(folder):
    """Serve ``folder`` and yield the server, and the list of the baselines that it was told of."""
    told = []
    with ReviewServer(folder, told=told.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server, told
        finally:
            server.shutdown()
            thread.join()


def ask(server, method, path, body=None, **headers):
    """Send a request as the page would, with ``headers`` changed, or left out where they are None."""
    host = f"127.0.0.1:{server.server_port}"
    given = {"Host": host, "Origin": f"http://{host}", "X-Testkit-Token": server.token}
    given |= {"Content-Type": "application/json"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in given.items():
        if value is not None:
            connection.putheader(name, value)
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    if method == "POST" and "Content_Length" not in headers:
        connection.putheader("Content-Length", str(len(data)))
    connection.endheaders(data)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_the_server_gives_the_page_to_those_who_know_its_address(run):
    """It listens on loopback alone, and without the secret of its address, or by another name, it gives nothing."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    with serving(run.results) as (server, _):
        assert server.server_address[0] == "127.0.0.1"
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{40,}/", server.address)
        page = urlsplit(server.address).path
        response, html = ask(server, "GET", page)
        assert (response.status, b"data-served" in html) == (200, True)
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert (response.headers["Cache-Control"], response.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
        for path in ("/", "/index.html", f"/{'x' * 43}/", page.rstrip("/"), f"/%C3%A9{page}"):
            assert ask(server, "GET", path)[0].status == 404, path
        for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1", None):
            assert ask(server, "GET", page, Host=host)[0].status == 421, host
        assert ask(server, "GET", page, Host=f"localhost:{server.server_port}")[0].status == 200
        assert ask(server, "HEAD", page)[1] == b""


def test_the_server_has_no_files_but_those_of_the_run(run):
    """What it serves are the images that results name: no listing, no way out of the folder, not by links either."""
    result = run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    (run.folder / "secret.png").write_bytes(b"secret")
    linked = run.add("linked", "320", before=png(), new=png(spot=(9, 9)))
    (run.results / linked.new).unlink()
    (run.results / linked.new).symlink_to(run.folder / "secret.png")
    with serving(run.results) as (server, _):
        root = urlsplit(server.address).path
        html = ask(server, "GET", root)[1].decode()
        images = re.findall(r'src="(images/[^"]+)"', html)
        bodies = [ask(server, "GET", root + image) for image in images]
        assert {body for _, body in bodies} >= {png(), png(spot=(2, 2)), (run.results / result.diff).read_bytes()}
        assert {response.status for response, _ in bodies} == {200}
        (new,) = [image for image in images if "-new" in image]
        for path in (
            "images/",
            "images",
            "results/",
            "index.html",
            result.new,
            "../secret.png",
            "images/../../../secret.png",
            "images/..%2f..%2f..%2fsecret.png",
            new.replace("-new", "-other"),
            f"{new}/",
            "images/0123456789abcdef-new.png",
            str(run.folder / "secret.png"),
        ):
            response, body = ask(server, "GET", root + path)
            assert (response.status, b"secret" in body) == (404, False), path


def test_only_the_page_itself_can_approve(run):
    """A request from another site, without the token, in another form, or too large, changes nothing."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    with serving(run.results) as (server, told):
        path = f"{urlsplit(server.address).path}approve"
        body = {"ids": [shot.id for shot in read_shots(run.results)]}
        for headers, status in (
            ({"Origin": None}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": "http://evil.example"}, 403),
            ({"Origin": f"http://localhost:{server.server_port}"}, 403),
            ({"X_Testkit_Token": None}, 403),
            ({"X_Testkit_Token": server.token[:-1]}, 403),
            ({"X_Testkit_Token": "é"}, 403),
            ({"Host": "evil.example", "Origin": "http://evil.example"}, 421),
            ({"Content_Type": "text/plain"}, 400),
            ({"Content_Length": None}, 400),
            ({"Content_Length": "-1"}, 400),
            ({"Content_Length": str(LARGEST_REQUEST + 1)}, 413),
        ):
            assert ask(server, "POST", path, body, **headers)[0].status == status, headers
        for wrong in (b"", b"[]", b"{", b'{"ids": "x"}', b'{"ids": [1]}', b"[" * 100_000):
            assert ask(server, "POST", path, wrong)[0].status == 400, wrong[:20]
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            assert ask(server, method, path)[0].status in (404, 501)
        assert ask(server, "POST", urlsplit(server.address).path, body)[0].status == 404
        assert told == []
        assert run.baseline("home", "320").read_bytes() == png()
        response, answer = ask(server, "POST", path, body)
        assert (response.status, json.loads(answer)) == (200, {"approved": body["ids"], "refused": []})
        assert told == [run.baseline("home", "320")]
        assert run.baseline("home", "320").read_bytes() == png(spot=(2, 2))


def test_approving_in_the_browser(run, browser):
    """One by its button, the next by a key, a name by another, the rest after a question; the files are those of the run."""
    new = png(320, 200, spot=(2, 2))
    for name in ("a", "b", "c"):
        for width in ("1024", "800", "320"):
            run.add(name, width, before=png(320, 200), new=new)
    run.add("d", "320", before=png(320, 200), new=png(320, 200))

    def approved():
        return sorted(path.stem for path in (run.folder / "screenshots").rglob("*.png") if path.read_bytes() == new)

    with serving(run.results) as (server, _):
        page = open_page(browser, server.address)
        named(page, "a 800").find_element(By.CSS_SELECTOR, ".approve").click()
        until(page, lambda _: approved() == ["a_800"])
        until(page, lambda _: "1 screenshot approved, 8 left." in one(page, "#said").get_attribute("textContent"))
        assert "Approved" in named(page, "a 800").text
        assert one(page, ".group .approve-name").text == "Approve all 2"
        assert one(page, ".chip[data-state=changed] .number").text == "8"
        press(page, "k", "a")
        until(page, lambda _: approved() == ["a_1024", "a_800"])
        until(
            page,
            lambda _: page.switch_to.active_element.get_attribute("id") == named(page, "a 320").get_attribute("id"),
        )
        press(page, "j", "A")
        until(page, lambda _: len(approved()) == 5)
        assert approved() == ["a_1024", "a_800", "b_1024", "b_320", "b_800"]
        one(page, "#approve-shown").click()
        assert one(page, "#sure h2").text == "Approve 4 screenshots?"
        one(page, "#sure [value=no]").click()
        one(page, "#approve-shown").click()
        one(page, "#sure [value=yes]").click()
        until(page, lambda _: len(approved()) == 9)
        until(page, lambda _: not one(page, "#approve-shown").is_displayed())
        page.refresh()
        assert one(page, ".chip[data-state=approved] .number").text == "9"
        assert page.find_elements(By.CSS_SELECTOR, ".approve") == []
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_page_of_the_run_before_approves_nothing(run, browser, monkeypatch):
    """If tests have run since the page was opened, it is told to reload rather than to approve what nobody saw."""
    run.add("home", "320", before=png(320, 200), new=png(320, 200, spot=(2, 2)))
    with serving(run.results) as (server, told):
        page = open_page(browser, server.address)
        again = begin(run.folder, monkeypatch)
        again.add("home", "320", new=png(320, 200, spot=(9, 9)), before=png(320, 200))
        one(page, ".approve").click()
        until(page, lambda _: "tests have run since this page was opened" in one(page, "#notice").text)
        assert told == []
        page.refresh()
        one(page, ".approve").click()
        until(page, lambda _: told)
    assert run.baseline("home", "320").read_bytes() == png(320, 200, spot=(9, 9))


def test_the_command_serves_until_ctrl_c(run):
    """``screenshots review`` prints its address, tells what was approved, and ends with 0 at Ctrl-C, with a browser connected."""
    run.add("home", "320", before=png(), new=png(spot=(2, 2)))
    process = subprocess.Popen(
        [sys.executable, "-m", "testkit", "screenshots", "review"],
        cwd=run.folder,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "1 screenshot to review at\n"
        process.stdout.readline()
        address = urlsplit(process.stdout.readline().strip())
        connection = http.client.HTTPConnection(address.netloc, timeout=10)
        (shot,) = read_shots(run.results)
        headers = {"Origin": f"http://{address.netloc}", "X-Testkit-Token": address.path.strip("/")}
        headers |= {"Content-Type": "application/json"}
        connection.request("POST", f"{address.path}approve", json.dumps({"ids": [shot.id]}), headers)
        assert connection.getresponse().read() == json.dumps({"approved": [shot.id], "refused": []}).encode()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
        connection.close()
    finally:
        process.kill()
    assert (process.returncode, stderr) == (0, "")
    assert "approved  screenshots/baseline/chromium-linux/home_320.png" in stdout
    assert 'data-state="approved"' in (run.results / "index.html").read_text()
