"""The report page as a reader has it: in a real browser, from its file."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from testkit.core.events import RunFinished, RunMeasured, TestFinished
from testkit.listeners.html import html_listener
from tests.listeners.test_html import failed
from tests.listeners.told import BEGAN, HOSTILE, hostile, many, problem
from tests.screenshots.reviewed import png
from tests.screenshots.test_review import FLAGS, one, open_page, press, until

COUNT = 10_000
BUDGETS = {
    "over": {"GET /loans/<int:pk>/": "11 queries; its budget is 4"},
    "within": ["GET /orders/<int:pk>/"],
    "most": {"GET /loans/<int:pk>/": 4},
}


@pytest.fixture(scope="module")
def browser(chromium, tmp_path_factory):
    """A Chromium of which every message on the console can be read."""
    options = webdriver.ChromeOptions()
    options.binary_location = chromium.binary
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromium.driver))
    driver.get("about:blank")
    driver.get_log("performance")  # of the browser's own first page
    yield driver
    driver.quit()


STATUS = RunMeasured("status", {"status": 1, "reason": ""})


@pytest.fixture(scope="module")
def facts() -> list[Any]:
    *told, ended, reports, status = many(COUNT)
    return [*told, RunMeasured("budgets", BUDGETS), ended, reports, status]


@pytest.fixture(scope="module")
def large(facts, tmp_path_factory) -> str:
    """The address of the page of 10,000 tests."""
    return written(facts, tmp_path_factory.mktemp("large"))


def written(facts: Any, folder: Path) -> str:
    listener = html_listener(folder / "index.html")
    for fact in facts:
        listener(fact)
    return (folder / "index.html").as_uri()


@pytest.fixture
def page(browser, large) -> Iterator[Any]:
    """The page of 10,000 tests at its table, in a window 1280 pixels wide."""
    yield open_page(browser, f"{large}#tests")
    assert told_by(browser) == []


def told_by(browser: Any) -> list[str]:
    """Return what the console was told, and what was asked for beside the page itself."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    foreign = [url for url in asked if url != "about:blank" and url != browser.current_url.partition("#")[0]]
    foreign = [url for url in foreign if not url.startswith("data:")]
    beside = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    return [entry["message"] for entry in browser.get_log("browser")] + foreign + beside


def shown(page: Any) -> list[str]:
    """Return the names in the rows of the table that are elements now."""
    return page.execute_script("return [...document.querySelectorAll('.tests .open .name')].map(e => e.textContent)")


def count(page: Any) -> int:
    return page.execute_script("return Number(document.querySelector('.tests').getAttribute('aria-rowcount')) - 1")


def search(page: Any, text: str) -> None:
    field = one(page, "#search")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(text)


def test_nothing_of_a_hostile_suite_runs_and_all_of_it_can_be_read(browser, tmp_path):
    """Markup, scripts and 10 MB of output in every name run nothing, load nothing, and are on the page as text."""
    page = open_page(browser, written(hostile(), tmp_path))
    page.execute_script("for (const a of document.querySelectorAll('nav li:not([hidden]) a')) a.click()")
    page.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    page.execute_script("location.hash = '#tests'")
    until(page, lambda _: len(shown(page)) == 6)
    one(page, "tr[data-place='0'] .open").click()
    assert page.execute_script("return [typeof hacked, document.scripts.length, document.images.length]") == [
        "undefined",
        2,
        0,
    ]
    text = page.execute_script("return document.body.textContent")
    assert text.count(HOSTILE) > 30
    for spelt in (r"\u202e", r"\u2066", r"\x1b[31m", r"\x00", r"\ud800", "characters cut"):
        assert spelt in text
    assert (
        page.execute_script(
            "return [...document.querySelectorAll('[onerror], main a[href^=javascript], iframe')].length"
        )
        == 0
    )
    assert told_by(browser) == []


def test_figures_are_those_of_the_facts(page, facts):
    """The filters count as many tests of each outcome as the facts have."""
    told = Counter(fact.outcome.value for fact in facts if isinstance(fact, TestFinished) and fact.final)
    chips = page.execute_script(
        "return [...document.querySelectorAll('.chip')].map(c => [c.dataset.outcome, c.querySelector('.number').textContent])"
    )
    numbers = {name: int(number.replace(",", "")) for name, number in chips}
    assert numbers.pop("flaky") == sum(isinstance(fact, TestFinished) and not fact.final for fact in facts)
    assert numbers == told
    assert count(page) == COUNT == sum(told.values())


def test_only_rows_that_can_be_seen_are_elements(page):
    """Of 10,000 rows some forty are there; scrolling to the end shows the last, and the keys go there as well."""
    assert 10 < len(shown(page)) < 60
    page.execute_script("document.querySelector('.scroll').scrollTop = 1e9")
    until(
        page,
        lambda _: (
            one(page, ".tests tbody").get_attribute("innerHTML").endswith("</tr>")
            and 'data-place="9999"' in one(page, ".tests tbody").get_attribute("innerHTML")
        ),
    )
    assert len(shown(page)) < 60
    one(page, "body").send_keys(Keys.HOME)
    press(page, Keys.END)
    assert one(page, "tr.here").get_attribute("data-place") == "9999"
    assert page.switch_to.active_element.find_element("xpath", "./ancestor::tr").get_attribute("class") == "here"


def test_search_and_filters(page):
    """Words must all be there, in name or message; outcomes and workers narrow it down; the address brings all of it back."""
    search(page, "sends invoice")
    found = shown(page)
    assert found
    assert all("sends" in name and "invoice" in name for name in found)
    search(page, "isbn")
    assert count(page) == 47  # of a message
    search(page, "no such test anywhere")
    assert (count(page), shown(page)) == (0, [])
    assert one(page, ".scroll .empty").is_displayed()
    search(page, "a_book")
    one(page, ".chip[data-outcome=failed]").click()
    one(page, ".chip[data-outcome=flaky]").click()
    one(page, "select").send_keys("Worker 2")
    number, names = count(page), shown(page)
    outcomes = page.execute_script(
        "return [...document.querySelectorAll('.tests .of-outcome .badge:last-child .word')].map(e => e.textContent)"
    )
    assert set(outcomes) == {"failed", "flaky"}
    assert 0 < number < 100
    page.refresh()
    assert (count(page), shown(page)) == (number, names)


def test_sorting(page):
    """A head sorts, again the other way round, and says which; the slowest stand first, names by the alphabet."""
    one(page, "th.of-time button").click()
    assert one(page, "th.of-time").get_attribute("aria-sort") == "descending"
    ids = page.execute_script("return [...document.querySelectorAll('.tests td.of-time')].map(e => e.textContent)")
    assert [text for text in ids[:3] if not text.endswith(" s")] == []
    one(page, "th.of-time button").click()
    assert one(page, "th.of-time").get_attribute("aria-sort") == "ascending"
    one(page, "th.of-test button").click()
    titles = page.execute_script("return [...document.querySelectorAll('.tests .open')].map(e => e.title)")
    assert titles == sorted(titles)
    assert one(page, "th.of-time").get_attribute("aria-sort") is None


def test_typing_never_waits(page):
    """A key in the search field is dealt with in less than a tenth of a second, its rows laid out, with 10,000 tests."""
    slowest = page.execute_script("""
      const field = document.querySelector("#search");
      const time = (text) => {
        field.value = text;
        const before = performance.now();
        field.dispatchEvent(new Event("input"));
        document.body.offsetHeight;
        return performance.now() - before;
      };
      const texts = ["", "t", "te", "tes", "test", "test_", "test_sends", "test_sends 1", "zzz", ""];
      // A machine that does other things, too, makes some slower, and none faster.
      return Math.max(...texts.map((text) => Math.min(...[1, 2, 3, 4, 5].map(() => time(text)))));
    """)
    assert slowest < 100


def test_keyboard(page):
    """Without a mouse: / searches, arrows and j and k go through the rows, Enter opens one, Escape comes back, ? helps."""
    body = one(page, "body")
    body.send_keys("/")
    assert page.switch_to.active_element.get_attribute("id") == "search"
    press(page, "loans", Keys.ENTER)
    press(page, Keys.ARROW_DOWN, "j", "k", "j")
    here = one(page, "tr.here")
    assert here.get_attribute("data-place") == "2"
    name = here.find_element("css selector", ".name").text
    press(page, Keys.ENTER)
    assert one(page, "#detail-title").text == name
    press(page, "j")
    assert one(page, "#detail-title").text != name
    press(page, "k", Keys.ESCAPE)
    assert not one(page, "#detail").is_displayed()
    assert page.switch_to.active_element.text == name
    press(page, "2")
    assert one(page, "[aria-current]").get_attribute("data-view") == "tests"
    press(page, "1")
    assert one(page, "[aria-current]").get_attribute("data-view") == "failures"
    press(page, "j", "j", Keys.ENTER)
    assert page.switch_to.active_element.tag_name == "summary"
    press(page, "?")
    assert one(page, "#help").is_displayed()
    one(page, "#keys").click()
    press(page, Keys.ESCAPE)
    one(page, "body").send_keys("2")
    assert one(page, "[aria-current]").get_attribute("data-view") == "failures"
    page.execute_script("localStorage.clear()")


def test_a_failure_says_all_and_copies_its_command(page):
    """A card has message, traceback, output, requests and the command that runs it again, which its button copies."""
    page.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    one(page, "[data-view=failures]").click()
    card = one(page, ".card[data-row]")
    text = card.text
    for told in ("AssertionError", "Traceback (most recent call last)", "asked for 3", "GET /loans/<int:pk>/"):
        assert told in text
    command = "python manage.py test library.catalogue.tests.test_views_0.CatalogueCase0Tests.test_sends_a_book_3"
    assert command in text
    card.find_element("css selector", ".copy").click()
    until(page, lambda _: page.execute_async_script("navigator.clipboard.readText().then(arguments[0])") == command)
    assert len(page.find_elements("css selector", "#view-failures .card")) == 50
    one(page, "#view-failures .more button").click()
    assert len(page.find_elements("css selector", "#view-failures .card")) == 100


def test_failures_of_one_cause_and_changed_screenshots(browser, tmp_path, monkeypatch):
    """Failures at one line are counted together, and can be shown alone; a changed screenshot is seen, with a way to its review."""
    monkeypatch.chdir(tmp_path)
    shot = Path("reports/screenshots/images/home_320.diff.0123456789ab.png")
    shot.parent.mkdir(parents=True)
    shot.write_bytes(png(320, 200, spot=(10, 10)))
    Path("reports/screenshots/index.html").write_text("")
    facts = [fact for fact in many(700) if not isinstance(fact, RunFinished | RunMeasured)]
    same = [
        failed(f"a.Same.t{n}", problem(1)._replace(line=999), attachments=(str(shot), "notes.txt")) for n in range(5)
    ]
    reports = RunMeasured("reports", {"screenshots": "reports/screenshots/index.html"})
    ended = RunFinished(BEGAN + 9, 9.0)
    page = open_page(browser, written([facts[0], *same, *facts[1:], ended, reports, STATUS], tmp_path / "reports"))
    assert len(page.find_elements("css selector", ".card")) > 5
    one(page, ".cause").click()
    assert one(page, ".cause .number").text == "5"
    assert len(page.find_elements("css selector", ".card")) == 5
    image = one(page, ".card img")
    until(page, lambda _: page.execute_script("return arguments[0].naturalWidth", image) == 320)
    assert "What changed" in one(page, ".card figcaption").text
    assert "notes.txt" in one(page, ".card").text
    assert one(page, ".card .part a").get_attribute("href").endswith("/reports/screenshots/index.html")
    one(page, ".cause").click()
    assert len(page.find_elements("css selector", ".card")) > 5
    assert [text for text in told_by(browser) if not text.startswith("data:")] == []


def test_the_timeline_is_there_for_mouse_and_keyboard(page):
    """Four lanes with bars; the arrow keys say what a bar is, Enter shows its tests; gaps and the better order are told."""
    one(page, "[data-view=workers]").click()
    assert len(page.find_elements("css selector", ".lanes text.lane")) == 4
    told = one(page, "#view-workers").text
    assert "Longest first" in told
    assert "At least" in told
    one(page, ".lanes").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert one(page, ".told").text.startswith("Worker 2: library.")
    one(page, ".lanes").send_keys(Keys.ENTER)
    assert 0 < count(page) < 50


def test_every_part_is_filled(page):
    """Each part that is offered has content: flaky tests with attempts, the plot, routes over budget, environment."""
    texts = {}
    for view in ("flaky", "times", "queries", "run"):
        one(page, f"[data-view={view}]").click()
        texts[view] = one(page, f"#view-{view}").text
    assert "attempt 1" in texts["flaky"]
    assert "the one that counts" in texts["flaky"]
    assert "Slowest tests" in texts["times"]
    assert len(page.find_elements("css selector", ".plot g")) > 8
    assert "over budget" in texts["queries"]
    assert "11 queries; its budget is 4" in texts["queries"]
    assert "1234567" in texts["run"]
    hidden = page.execute_script("return [...document.querySelectorAll('nav li[hidden] a')].map(a => a.dataset.view)")
    assert hidden == ["routes", "coverage"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours(browser, large, scheme):
    """The page has the system's colours, and the switch has the others, which stay after a reload."""
    page = open_page(browser, f"{large}#tests", scheme=scheme)
    ground = "return getComputedStyle(document.body).backgroundColor"
    colours = {"light": "rgb(244, 244, 243)", "dark": "rgb(21, 21, 23)"}
    other = {"light": "dark", "dark": "light"}[scheme]
    assert page.execute_script(ground) == colours[scheme]
    one(page, "#theme").click()
    assert page.execute_script(ground) == colours[other]
    page.refresh()
    assert page.execute_script(ground) == colours[other]
    page.execute_script("localStorage.clear()")


def test_a_phone(browser, large):
    """At 320 pixels nothing is wider than the window, in any part, and names and times are still in the table."""
    page = open_page(browser, f"{large}#tests", width=320, height=640)
    assert one(page, "td.of-time").is_displayed()
    assert one(page, ".tests .name").size["width"] > 100
    for view in ("failures", "tests", "flaky", "workers", "times", "queries", "run"):
        page.execute_script(f"document.querySelector('[data-view={view}]').click()")
        assert page.execute_script("return document.documentElement.scrollWidth <= innerWidth"), view
    assert told_by(browser) == []


def test_paper(browser, tmp_path):
    """Printed, it has all parts but the table: verdict, failures opened, plots; what is for clicking is left out."""
    page = open_page(browser, f"{written(many(700), tmp_path)}#tests")
    printed = page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True, "pageRanges": "1"})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert page.execute_script("return document.querySelectorAll('section[data-filled]').length") == 7
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert not one(page, "nav").is_displayed()
    assert not one(page, "#view-tests").is_displayed()
    assert one(page, "#view-failures pre").is_displayed()
    assert one(page, ".plot").is_displayed()
    assert len(page.find_elements("css selector", "#view-failures .card[open] .inside")) == 12
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    page.execute_script("dispatchEvent(new Event('afterprint'))")
    assert one(page, "#view-tests").is_displayed()


def test_without_scripts_it_names_what_failed(browser, large):
    """Where scripts are forbidden, as Jenkins does, it has the verdict, the figures and the first failures with their messages."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page = open_page(browser, large)
        text = one(page, "body").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "Failed" in text
    assert "9639 passed, 104 failed, 47 error" in text
    assert "test_sends_a_book_3: AssertionError: 3 != 4" in text
    browser.get_log("browser")
