"""What unittest tells a result becomes facts, whoever runs the tests."""

from __future__ import annotations

import sys
import time
import unittest
from unittest import mock

import pytest

from testkit.core.events import FixtureFinished, Outcome, SubTestFinished, TestFinished, TestStarted
from testkit.execution.capture import Capture
from testkit.execution.inline import RecordedSuite
from testkit.execution.recorder import Recorder


def run(suite, **options):
    """Run ``suite`` with a recorder and return the facts and the recorder."""
    facts = []
    capture = Capture(show=False)
    recorder = Recorder(facts.append, capture, **options)
    with capture:
        suite.run(recorder)
    return facts, recorder


class Plain(unittest.TestCase):
    """Cases that are run by these tests, not by pytest."""

    __test__ = False

    def test_pass(self):
        """A docstring."""

    def test_fail(self):
        self.fail("no")

    def test_print(self):
        print("out")
        print("err", file=sys.stderr)


class SetUpOutside(Plain):
    """Django's cases do their set-up and tear-down outside of run()."""

    def __call__(self, result=None):
        if self._testMethodName == "test_fail":
            result.addError(self, _exc_info(ValueError("in _pre_setup")))
            return
        super().__call__(result)
        print("left by _post_teardown")
        result.addError(self, _exc_info(KeyError("in _post_teardown")))


class BadClass(Plain):
    @classmethod
    def setUpClass(cls):
        raise unittest.SkipTest("no server")


def _exc_info(error):
    try:
        raise error
    except Exception:
        return sys.exc_info()


def cases(kind, *names):
    return [kind(name) for name in names]


class ForeignSuite(unittest.TestSuite):
    """A suite class of a project's own, which tells the recorder nothing beyond unittest's protocol."""


@pytest.mark.parametrize("suite", [RecordedSuite, ForeignSuite])
def test_facts_are_the_same_by_any_suite_class(suite):
    """Tests and class fixtures become the same facts under a suite class that knows nothing of us."""
    facts, recorder = run(suite([*cases(Plain, "test_pass", "test_fail"), *cases(BadClass, "test_pass")]))
    told = [(type(fact).__name__, fact.id.rpartition(".")[2], getattr(fact, "outcome", None)) for fact in facts]
    assert [item for item in told if item[0] != "FixtureStarted" and item[2] != Outcome.PASSED] == [
        ("TestStarted", "test_pass", None),
        ("TestStarted", "test_fail", None),
        ("TestFinished", "test_fail", Outcome.FAILED),
        ("FixtureFinished", "BadClass", Outcome.SKIPPED),
    ]
    assert ("TestFinished", "test_pass", Outcome.PASSED) in told
    skipped = next(fact for fact in facts if isinstance(fact, FixtureFinished) and fact.outcome is Outcome.SKIPPED)
    assert (skipped.phase, skipped.reason) == ("setUpClass", "no server")
    assert (recorder.testsRun, len(recorder.failures), len(recorder.skipped)) == (2, 1, 1)


def test_what_django_does_outside_of_the_test_is_the_tests():
    """Problems and output of a set-up or tear-down around run() belong to the test, as does its time."""
    facts, _ = run(RecordedSuite(cases(SetUpOutside, "test_pass", "test_fail")))
    passed, failed = (fact for fact in facts if isinstance(fact, TestFinished))
    assert passed.outcome is Outcome.ERROR
    assert [problem.message for problem in passed.problems] == ["'in _post_teardown'"]
    assert passed.stdout == "left by _post_teardown\n"
    assert [problem.message for problem in failed.problems] == ["in _pre_setup"]


def test_output_is_kept_by_test():
    """What a test prints is in its own fact and in no other."""
    facts, _ = run(RecordedSuite(cases(Plain, "test_print", "test_pass")))
    first, second = (fact for fact in facts if isinstance(fact, TestFinished))
    assert (first.stdout, first.stderr) == ("out\n", "err\n")
    assert (second.stdout, second.stderr, second.summary) == ("", "", "A docstring.")


def test_an_interrupted_test_tells_where_it_was():
    """A test that is interrupted is an error with the line where it was, and the interrupt goes on."""

    class Interrupted(Plain):
        def test_pass(self):
            raise KeyboardInterrupt("SIGINT")

    facts = []
    recorder = Recorder(facts.append, Capture(show=False))
    with recorder._capture, pytest.raises(KeyboardInterrupt):
        RecordedSuite(cases(Interrupted, "test_pass")).run(recorder)
    told = next(fact for fact in facts if isinstance(fact, TestFinished))
    assert (told.outcome, told.problems[0].line) == (Outcome.ERROR, told.line + 1)


def test_an_exit_outside_of_the_test_is_an_error_and_the_run_goes_on():
    """sys.exit(), which unittest lets through outside of test methods, is an error of the test or fixture."""

    class Exits(SetUpOutside):
        def __call__(self, result=None):
            sys.exit(0)

    class ClassExits(Plain):
        @classmethod
        def setUpClass(cls):
            sys.exit(0)

    facts, recorder = run(
        RecordedSuite([*cases(Exits, "test_pass"), *cases(ClassExits, "test_pass"), *cases(Plain, "test_pass")])
    )
    told = {fact.id.rpartition(".")[2]: fact.outcome for fact in facts if isinstance(fact, FixtureFinished)}
    assert told["ClassExits"] is Outcome.ERROR
    assert [fact.outcome for fact in facts if isinstance(fact, TestFinished)] == [Outcome.ERROR, Outcome.PASSED]
    assert len(recorder.errors) == 2


def test_a_docstring_that_cannot_be_had_is_no_problem():
    """A shortDescription() that raises costs the summary, not the run."""

    class Undescribed(Plain):
        def shortDescription(self):
            raise RuntimeError

    facts, _ = run(RecordedSuite(cases(Undescribed, "test_pass")))
    assert [fact.summary for fact in facts if isinstance(fact, TestFinished)] == [""]


def test_no_test_can_set_the_clock():
    """Mocks of the module ``time`` neither change what is recorded nor lose values to the recorder."""

    class Mocked(Plain):
        @mock.patch("time.time", side_effect=[1, 2])
        @mock.patch("time.perf_counter", side_effect=[1, 9000])
        def test_pass(self, perf_counter, now):
            with self.subTest(i=1):
                self.consume()

        def consume(self):
            assert (time.time(), time.time(), time.perf_counter()) == (1, 2, 1)

    facts, _ = run(RecordedSuite(cases(Mocked, "test_pass")))
    told = next(fact for fact in facts if isinstance(fact, TestFinished))
    assert told.outcome is Outcome.PASSED
    assert told.seconds < 60
    assert abs(told.at - time.time()) < 60


def test_exceptions_that_cannot_be_shown_are_shown():
    """An exception whose str(), or whose whole traceback, cannot be made is still a problem with its type."""

    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    class Hostile(Exception):
        @property
        def __cause__(self):
            raise RuntimeError("no cause")

    class Cases(Plain):
        def test_pass(self):
            raise Unprintable

        def test_fail(self):
            raise Hostile("deep")

    facts, _ = run(RecordedSuite(cases(Cases, "test_pass", "test_fail")))
    unprintable, hostile = (fact.problems[0] for fact in facts if isinstance(fact, TestFinished))
    assert unprintable.message == "(str() of the exception raised RuntimeError)"
    assert "Unprintable" in unprintable.traceback
    assert hostile.type.endswith("Hostile")
    assert "Hostile" in hostile.traceback


def test_a_parameter_whose_repr_raises_still_has_a_name():
    """Subtests are named by their parameters' repr, or by their type where that raises."""

    class NoRepr:
        def __repr__(self):
            raise ValueError

    class Cases(Plain):
        def test_pass(self):
            with self.subTest(thing=NoRepr()):
                pass
            with self.subTest():
                self.fail("bare")

    facts, _ = run(RecordedSuite(cases(Cases, "test_pass")))
    names = [fact.id.partition(" ")[2] for fact in facts if isinstance(fact, SubTestFinished)]
    assert names == ["(thing=<NoRepr>)", "(<subtest>)"]


def test_the_line_of_a_problem_is_the_tests_own():
    """A problem points at the last line of the test's own file, below helpers that raise elsewhere."""

    class Cases(Plain):
        def test_pass(self):
            self.fail("here")

    facts, _ = run(RecordedSuite(cases(Cases, "test_pass")))
    fact = next(fact for fact in facts if isinstance(fact, TestFinished))
    assert fact.problems[0].file == fact.file == "tests/execution/test_recorder.py"
    assert fact.problems[0].line == fact.line + 1


def test_failfast_stops_after_any_problem():
    """With failfast a failure, a bad subtest and an unexpected success each end the run."""

    class Subtests(Plain):
        def test_pass(self):
            with self.subTest(i=1):
                self.fail()

    class Unexpected(Plain):
        @unittest.expectedFailure
        def test_pass(self):
            pass

    for kind, name in ((Plain, "test_fail"), (Subtests, "test_pass"), (Unexpected, "test_pass")):
        facts, recorder = run(RecordedSuite([kind(name), Plain("test_print")]), failfast=True)
        assert sum(isinstance(fact, TestStarted) for fact in facts) == 1
        assert recorder.shouldStop


def test_another_result_gets_unittests_own_behaviour():
    """With a result that is no recorder, the suite is unittest's own."""
    result = unittest.TestResult()
    RecordedSuite(cases(Plain, "test_pass", "test_fail")).run(result)
    assert (result.testsRun, len(result.failures)) == (2, 1)


def test_a_test_leaves_the_suite_when_it_is_done():
    """Tests are let go as they end, so memory does not grow with the run."""
    suite = RecordedSuite(cases(Plain, "test_pass", "test_print"))
    run(suite)
    assert list(suite) == [None, None]
