"""What the report page says: made from plain lists of facts, and read back from the data that the page holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    TestFinished,
    WorkerLost,
)
from testkit.listeners.html import html_listener
from testkit.listeners.html.rerun import command_for
from testkit.listeners.html.timeline import Timeline
from testkit.pages import BASE_CSS
from tests.listeners.told import BEGAN, HOSTILE, hostile, many, problem

ENDED = RunFinished(BEGAN + 9, 9.0)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def passed(id: str, at: float = 0.0, seconds: float = 1.0, **more: Any) -> TestFinished:
    given = {"class_id": id.rpartition(".")[0], "outcome": Outcome.PASSED, **more}
    return TestFinished(id, at=BEGAN + at, seconds=seconds, **given)


def failed(id: str, found: Problem | None = None, **more: Any) -> TestFinished:
    return passed(id, outcome=Outcome.FAILED, problems=(found or problem(1),), **more)


def page_of(facts: Iterable[Fact]) -> str:
    listener = html_listener(None)
    for fact in facts:
        listener(fact)
    return listener.page().decode("utf-8")


def data_of(*facts: Fact, ids: tuple[str, ...] = (), end: RunFinished = ENDED) -> dict[str, Any]:
    """Return what the page of a run holds."""
    told = [fact.id for fact in facts if isinstance(fact, TestFinished) and fact.final]
    started = RunStarted("r", BEGAN, ids or tuple(told), directory="/srv/shop")
    return data_in(page_of([started, *facts, end]))


def data_in(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


def ids_in(data: dict[str, Any]) -> dict[str, str]:
    """Return the outcome of each row by the id that it is shown with."""
    tests = data["tests"]
    names = [tests["classes"][place] for place in tests["class"]]
    ids = [f"{holder}.{name}" if holder else name for holder, name in zip(names, tests["name"], strict=True)]
    return {id: tests["outcomes"][int(digit)] for id, digit in zip(ids, tests["outcome"], strict=True)}


def test_ten_thousand_tests_are_under_three_megabytes_and_all_there():
    """The page of 10,000 tests has each with its outcome, and is smaller than 3 MB."""
    facts = list(many(10_000))
    page = page_of(facts)
    told = {fact.id: fact.outcome.value for fact in facts if isinstance(fact, TestFinished) and fact.final}
    assert len(page.encode()) < 3_000_000
    assert ids_in(data_in(page)) == told
    assert len(told) == 10_000


def test_figures_are_those_of_the_facts():
    """Outcomes, flaky tests, durations and queries are what the facts say."""
    facts = list(many(400))
    data = data_in(page_of(facts))
    ends = [fact for fact in facts if isinstance(fact, TestFinished)]
    final = [fact for fact in ends if fact.final]
    shown = Counter(ids_in(data).values())
    assert shown == Counter(fact.outcome.value for fact in final)
    assert data["totals"]["flaky"] == len(data["tests"]["flaky"]) == len(ends) - len(final)
    assert sum(data["tests"]["time"]) / 1e5 == pytest.approx(sum(fact.seconds for fact in final), rel=1e-3)
    assert sum(each["requests"] for each in data["requests"]) == len(final)
    assert data["verdict"]["word"] == "Failed"


def test_nothing_of_a_test_ends_the_script_or_makes_markup():
    """Outside of the two scripts and the style there is no markup but the template's, and the data cannot end its script."""
    page = page_of(hostile())
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert "<" not in text
    rest = page.replace(text, "")
    assert rest.count("</script>") == 2
    assert "<img" not in rest
    assert HOSTILE not in rest
    assert "onerror" in json.loads(text)["tests"]["classes"][0]


def test_unseen_characters_are_spelt_out():
    """Control and bidirectional characters, zero widths and lone surrogates are text like \\u202e; the page is UTF-8."""
    page = page_of(hostile())
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u200b\u202e\u2028\u2066]", page)
    told = json.dumps(data_in(page))
    for spelt in (r"\\u202e", r"\\u2066", r"\\x1b", r"\\x00", r"\\ud800", r"\\u200b", r"\\u2028"):
        assert spelt in told


def test_ten_megabytes_of_output_make_no_large_page():
    """Output is cut in its middle, which says how much was cut; the page of two tests with 10 MB each stays small."""
    page = page_of(hostile())
    assert len(page) < 300_000
    texts = data_in(page)["texts"]
    (cut,) = {int(number) for text in texts for number in re.findall(r"\[… (\d+) characters cut …\]", text)}
    assert 9_950_000 < cut < 10_010_000
    assert all(len(text) <= 16_000 for text in texts)


def test_texts_beyond_the_room_are_counted_and_equal_ones_kept_once():
    """A thousand equal tracebacks are one text; when there is no room for more texts, that is said and all tests stay."""
    same = [failed(f"a.T.t{number}", problem(1)) for number in range(1_000)]
    assert len(data_of(*same)["texts"]) == 2
    long = [failed(f"a.T.t{number}", problem(1)._replace(traceback=f"{number}" * 9_000)) for number in range(500)]
    data = data_of(*long)
    assert data["left_out"] > 0
    assert sum(map(len, data["texts"])) <= 1_500_000
    assert len(data["details"]) == len(ids_in(data)) == 500


def test_a_run_in_which_all_fails_has_a_page_that_can_be_opened(tmp_path, monkeypatch):
    """Four thousand failures with long messages and tracebacks, each at a line of its own, are some megabytes."""
    monkeypatch.chdir(tmp_path)
    Path("many.py").write_text(("x" * 300 + "\n") * 4_000)
    found = problem(1)._replace(file="many.py")
    tests = [
        failed(
            f"a.T.t{n}",
            found._replace(line=n + 1, message=f"{n} {'long ' * 1_000}", traceback=f"{n} {'deep ' * 1_000}"),
        )
        for n in range(4_000)
    ]
    data = data_of(*tests)
    assert len(json.dumps(data)) < 6_000_000
    assert len(ids_in(data)) == len(data["details"]) == 4_000
    assert all(len(told["problems"][0]["message"]) > 100 for told in data["details"].values())


def test_a_failure_has_the_source_around_its_line(tmp_path, monkeypatch):
    """The lines around are those of the file as it is now, and only of Python files below the folder of the run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "tests.py").write_text("".join(f"line {number}\n" for number in range(1, 30)))
    (tmp_path / "shop" / "secret.txt").write_text("secret\n" * 30)
    outside = tmp_path.parent / "outside.py"
    outside.write_text("secret\n" * 30)
    (tmp_path / "link.py").symlink_to(outside)
    found = problem(1)._replace(file="shop/tests.py", line=12)
    others = ["../outside.py", str(outside), "link.py", "shop/secret.txt", "shop", "absent.py", "shop/tests.py\0"]
    facts = [
        failed("a.T.one", found),
        *(failed(f"a.T.{n}", found._replace(file=file)) for n, file in enumerate(others)),
    ]
    data = data_of(*facts, failed("a.T.far", found._replace(line=300)))
    (shown,) = data["sources"]
    assert data["details"].pop("0")["problems"][0]["source"] == 1
    assert shown == {"first": 7, "line": 12, "lines": [f"line {number}" for number in range(7, 16)]}
    assert "secret" not in json.dumps(data["details"]).replace("secret.txt", "")
    assert all(told["problems"][0]["source"] == 0 for told in data["details"].values())


def test_images_are_embedded_if_they_are_images_of_the_project(tmp_path, monkeypatch):
    """An attached PNG below the folder of the run stands in the page; what is none, is too large or lies elsewhere is named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shot.png").write_bytes(PNG)
    (tmp_path / "no.png").write_text("<svg onload=alert(1)>")
    (tmp_path / "large.png").write_bytes(PNG + b"\0" * 700_000)
    (tmp_path.parent / "other.png").write_bytes(PNG)
    names = ("shot.png", "no.png", "large.png", "../other.png", "absent.png")
    data = data_of(failed("a.T.one", attachments=names))
    shown = data["details"]["0"]["attachments"]
    assert [each["path"] for each in shown] == list(names)
    assert [each["src"][:22] for each in shown] == ["data:image/png;base64,", "", "", "", ""]


def test_every_collected_test_has_a_row():
    """Tests that did not run, were lost, or whose class failed or was skipped in its set-up are rows, and say why."""
    ids = ("a.T.ran", "a.B.never", "a.S.never", "a.N.left", "a.L.lost")
    data = data_of(
        passed("a.T.ran"),
        FixtureFinished("a.B", "setUpClass", BEGAN, 1.0, Outcome.ERROR, (problem(1),)),
        FixtureFinished("a.S", "setUpClass", BEGAN, 0.0, Outcome.SKIPPED, reason="no browser"),
        ids=ids,
        end=ENDED._replace(stopped="--failfast", not_run=("a.N.left",), lost=("a.L.lost",)),
    )
    assert ids_in(data) == dict(zip(ids, ("passed", "not run", "skipped", "not run", "lost"), strict=True))
    reasons = {told["reason"] for told in data["details"].values()}
    assert reasons == {"setUpClass failed", "setUpClass skipped it: no browser", "--failfast", "collected, and how it ended was never told"}  # fmt: skip
    assert [fixture["id"] for fixture in data["fixtures"]] == ["a.B", "a.S"]
    assert data["verdict"] == {"state": "broken", "word": "Incomplete", "why": "1 test collected and never reported"}


def test_flaky_tests_have_all_attempts():
    """A test that failed twice and passed has both failures with their tracebacks, and counts as flaky and passed."""
    told = [failed("a.T.t", problem(n), final=False, attempt=n, stdout=f"try {n}") for n in (1, 2)]
    data = data_of(*told, passed("a.T.t", attempt=3), ids=("a.T.t",))
    assert data["tests"]["flaky"] == [0]
    attempts = data["details"]["0"]["earlier"]
    assert [data["texts"][attempt["stdout"]["text"]] for attempt in attempts] == ["try 1", "try 2"]
    assert all(data["texts"][attempt["problems"][0]["traceback"]] for attempt in attempts)


@pytest.mark.parametrize(
    ("facts", "end", "verdict"),
    [
        ([passed("a.T.t")], ENDED, ("passed", "Passed", "")),
        ([failed("a.T.t")], ENDED, ("failed", "Failed", "1 failed")),
        ([], ENDED, ("broken", "No test ran", "")),
        ([passed("a.T.t")], ENDED._replace(interrupted="SIGINT", not_run=("a.T.u",)), ("broken", "Interrupted", "by SIGINT, 1 test not run")),
        ([failed("a.T.t")], ENDED._replace(stopped="--failfast", not_run=("a.T.u",)), ("failed", "Failed", "--failfast: 1 test not run")),
        ([passed("a.T.t"), RunMeasured("status", {"status": 1, "reason": "coverage below 90 %"})], ENDED, ("failed", "Failed", "coverage below 90 %")),
        ([failed("a.T.t"), RunMeasured("status", {"status": 1, "reason": ""})], ENDED, ("failed", "Failed", "1 failed")),
    ],
)  # fmt: skip
def test_the_verdict_is_what_the_facts_come_to(facts, end, verdict):
    """The top of the page says how the run ended, gates included, and never that a run is good that was cut short."""
    assert tuple(data_of(*facts, end=end)["verdict"].values()) == verdict


def test_sections_stand_where_they_belong():
    """Budgets, routes, coverage by file and of the change, seed, databases and unknown sections are all there."""
    costs = {"queries": {"total": 9, "routes": {"GET /": {"requests": 2, "queries": 9, "ms": 3.5}}}}
    data = data_of(
        passed("a.T.t", measures={**costs, "colour": "blue"}),
        RunMeasured("budgets", {"over": {"GET /": "9 queries; its budget is 4"}, "most": {"GET /": 4}, "never": ["/x/"]}),
        RunMeasured("routes", {"endpoints": {"GET /": {"state": "tested", "view": "v", "statuses": [200], "tests": 1}}, "figures": {"percent": 100.0}}),
        RunMeasured("coverage", {"percent": 50.0, "covered": 2, "statements": 4, "files": {"a.py": {"statements": 4, "missing": [[2, 3]]}}}),
        RunMeasured("diff_coverage", {"base": "main", "percent": 0.0, "lines": 2, "uncovered": {"a.py": [[2, 3]]}, "failing": ""}),
        RunMeasured("environment", {"program": "python manage.py test", "seed": 42}),
        RunMeasured("databases", {"databases": {"default": "SQLite, in memory"}, "seconds": 0.5}),
        RunMeasured("leaks", {"text": "\nLeaks: none"}),
    )  # fmt: skip
    (request,) = data["requests"]
    assert (request["state"], request["queries"], request["most"], request["word"]) == ("over", 9, 4, "9 queries; its budget is 4")  # fmt: skip
    assert data["routes"]["rows"][0]["statuses"] == [200]
    assert data["coverage"]["files"] == [{"path": "a.py", "statements": 4, "missing": 2, "lines": "2–3"}]
    assert data["coverage"]["changed"]["uncovered"] == [["a.py", "2–3"]]
    facts = dict(map(tuple, data["facts"]))
    assert facts["Seed of --shuffle"] == "42"
    assert facts["Databases"] == "default (SQLite, in memory), in 0.50 s"
    assert data["others"] == [["leaks", "Leaks: none"]]
    assert data["details"]["0"]["measures"] == {"colour": "blue"}
    assert data["commands"]["program"] == "python manage.py test"


def test_a_run_that_measured_nothing_has_a_page():
    """Without sections, workers or tests there is a page that says so."""
    data = data_of()
    assert (data["tests"]["count"], data["timeline"], data["routes"], data["coverage"], data["requests"]) == (
        0,
        {},
        {},
        {},
        [],
    )
    broken = FixtureFinished("a.T", "setUpClass", BEGAN, 0.0, Outcome.ERROR, (problem(1),))
    data = data_of(broken, ids=("a.T.t",))
    assert (data["verdict"]["why"], ids_in(data)) == ("1 set-up or tear-down failed", {"a.T.t": "not run"})
    data = data_of(WorkerLost("1", BEGAN, "signal 9", running="a.T.t"))
    assert data["lost_workers"] == [{"worker": "1", "reason": "signal 9", "running": "a.T.t"}]


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (("python manage.py test", "a.T.test_x"), "python manage.py test a.T.test_x"),
        (("python -m testkit", "a.T.test_x; rm -rf ~"), "python -m testkit 'a.T.test_x; rm -rf ~'"),
        (("python -m testkit", "a\x1b[201~rm"), ""),
        (("python -m testkit", "--version"), ""),
        (("python -m pytest", "shop.tests.test_x.T.test_y[a b]", "shop.tests.test_x.T", "shop/tests/test_x.py"), "python -m pytest 'shop/tests/test_x.py::T::test_y[a b]'"),
        (("python -m pytest", "test_x.test_y", "test_x", "test_x.py"), "python -m pytest test_x.py::test_y"),
        (("python -m pytest", "somewhere.test_y", "somewhere", "test_x.py"), ""),
    ],
)  # fmt: skip
def test_the_command_runs_one_test_and_nothing_else(given, command):
    """The command has what its shell would act on in quotes; what a terminal would act on gives no command at all."""
    assert command_for(*given) == command


def lines(*spans: tuple[str, str, float, float], set_ups: Iterable[FixtureFinished] = ()) -> dict[str, Any]:
    """Return the timeline of tests given by worker, id, start and seconds."""
    timeline = Timeline()
    timeline.begin(BEGAN)
    for fact in (*set_ups, *(passed(id, at, seconds, worker=worker) for worker, id, at, seconds in spans)):
        timeline.add(fact)
    return timeline.to_plain(0.0)


def test_the_longest_last_is_what_a_better_order_would_have_avoided():
    """Two workers that begin the longest test last take 6 s; longest first it is 4 s, which no order can go below."""
    short = [(str(1 + n % 2), f"a.S{n}.t", n // 2 * 1.0, 1.0) for n in range(4)]
    line = lines(*short, ("1", "a.Long.t", 2.0, 4.0))
    (foreseen,) = line["plan"]["foreseen"]
    assert line["ended"] == 6.0
    assert foreseen == {"workers": 2, "seconds": 4.0, "bound": 4.0}
    assert line["plan"]["pole"] == {"id": "a.Long.t", "seconds": 4.0}
    assert [(gap["worker"], gap["start"], gap["seconds"]) for gap in line["gaps"]] == [("2", 2.0, 4.0)]


def test_the_longest_pole_is_a_test_with_its_set_up():
    """No order is shorter than the longest test and the set-up of its class; it is named."""
    set_up = FixtureFinished("a.Long", "setUpClass", BEGAN, 2.0, worker="1")
    line = lines(("1", "a.Long.t", 2.0, 4.0), ("2", "a.S.t", 0.0, 1.0), set_ups=[set_up])
    (foreseen,) = line["plan"]["foreseen"]
    assert foreseen["bound"] == 6.0
    assert line["plan"]["pole"] == {"id": "a.Long.t", "seconds": 6.0}
    assert line["set_ups"] == [["a.Long", 2.0, 1]]


def test_a_serial_run_foresees_workers():
    """A run of one process tells what 1 to 16 workers would take: never less than the bound, and less with each."""
    line = lines(*[("", f"a.T{n}.t", n * 1.0, 1.0) for n in range(16)])
    assert [each["seconds"] for each in line["plan"]["foreseen"]] == [16.0, 8.0, 4.0, 2.0, 1.0]
    assert all(each["seconds"] >= each["bound"] for each in line["plan"]["foreseen"])


def test_bars_stay_few():
    """However many classes there are, a timeline has no more than some thousand bars, and no test is lost in them."""
    spans = [(str(n % 3), f"a.T{n}.t", n * 0.01, 0.009) for n in range(12_000)]
    lanes = lines(*spans)["lanes"]
    bars = [bar for lane in lanes for bar in lane["bars"]]
    assert len(bars) <= 3_000
    assert sum(bar[3] for bar in bars) == 12_000
    assert len(lines(*[("1", f"a.T{n}.t", 0.0, 0.0) for n in range(4_000)])["lanes"][0]["bars"]) <= 3_000
    assert [lane["worker"] for lane in lines(*[(w, "a.T.t", 0.0, 1.0) for w in ("10", "9", "2.10", "2.9")])["lanes"]] == ["2.9", "2.10", "9", "10"]  # fmt: skip


def test_the_policy_lets_nothing_in_or_out():
    """The policy allows the page's own style and script by their hashes and images in it, and nothing else."""
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page_of(many(20)))
    directives = dict(part.split(" ", 1) for part in policy.replace("&#x27;", "'").split("; "))
    assert directives["default-src"] == "'none'"
    assert directives["img-src"] == "data:"
    for name in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/=]{44}'", directives[name])
    assert (directives["base-uri"], directives["form-action"], directives["trusted-types"]) == ("'none'",) * 3


def test_colours_can_be_read():
    """Text has a contrast of 4.5 and more on every ground it stands on, in both schemes (WCAG 2.2, 1.4.3)."""
    colours = {
        name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#\w+), (#\w+)\)", BASE_CSS.read_text())
    }
    for text in ("text", "quiet", "accent", "failed", "passed", "changed", "new"):
        for ground in ("page", "panel"):
            for scheme in (0, 1):
                assert contrast(colours[text][scheme], colours[ground][scheme]) >= 4.5, (text, ground, scheme)


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_status_that_is_told_last_is_on_the_page(tmp_path):
    """The page is written when the run has told how it is going to end, and says so; not before."""
    path = tmp_path / "index.html"
    listener = html_listener(path)
    for fact in (RunStarted("r", BEGAN, ("a.T.t",)), passed("a.T.t"), ENDED, RunMeasured("reports", {})):
        listener(fact)
    assert not path.exists()
    listener(RunMeasured("status", {"status": 2, "reason": "too little of it"}))
    assert "too little of it" in path.read_text(encoding="utf-8")


def test_the_page_is_whole_or_absent(tmp_path, monkeypatch):
    """It is written when the reports are told, wherever a test has gone meanwhile; a place that cannot be written is an error."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    listener = html_listener(Path("reports/index.html"))
    for fact in [*many(20)][:-1]:
        listener(fact)
    assert not Path("reports").exists()
    monkeypatch.chdir(tmp_path / "elsewhere")
    listener(RunMeasured("status", {"status": 0, "reason": ""}))
    assert [path.name for path in (tmp_path / "reports").iterdir()] == ["index.html"]
    (tmp_path / "file").write_text("")
    blocked = html_listener(tmp_path / "file" / "index.html")
    *before, reports = many(20)
    for fact in before:
        blocked(fact)
    with pytest.raises(OSError, match="file"):
        blocked(reports)
