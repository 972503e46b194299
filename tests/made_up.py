"""Facts of tests that never ran, in a few words each."""

from __future__ import annotations

from testkit.core.events import Outcome, Problem, SubTestFinished, TestFinished

PASSED, FAILED = Outcome.PASSED, Outcome.FAILED
NASTY = "x``y``` ~~~ | <b>&amp;</b> @me #1 [l](http://h) \x1b[31m \ud800\r\nnext *line*"


def problem(text="boom", file="app/tests.py", line=9):
    return Problem(outcome=FAILED, type="E", message=text, traceback=f"Traceback of {text}\n", file=file, line=line)


def ended(name, outcome=PASSED, **fields):
    return TestFinished(id=f"a.T.{name}", class_id="a.T", at=2.0, seconds=0.04, outcome=outcome, **fields)


def failed(name, text="boom", **fields):
    return ended(name, FAILED, problems=(problem(text),), **fields)


def subtest(name, parameters, outcome=FAILED, **fields):
    told = {"problem": problem(f"sub {parameters}")} if outcome is FAILED else {}
    return SubTestFinished(
        id=f"a.T.{name} {parameters}", test=f"a.T.{name}", class_id="a.T", at=2.0, outcome=outcome, **told, **fields
    )
