"""What surrounds the tests of nose2: all that Django's runner does but for collecting them."""

from __future__ import annotations

import multiprocessing
import sys
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import CommandError
from django.test.utils import get_runner
from nose2.session import Session as Nose2Session

from testkit.core.errors import OptionError
from testkit.core.events import Fact, RunMeasured
from testkit.core.options import Options
from testkit.execution.ids import iterate, tests_by_id
from testkit.execution.options import ExecutionOptions
from testkit.nose2_plugin import own
from testkit.nose2_plugin.options import Nose2Options, options_of
from testkit.nose2_plugin.replay import Replay
from testkit.nose2_plugin.result import HookedResult
from testkit.nose2_plugin.suites import HookedSuite, Hosting, name_after_source
from testkit.runner import TestkitRunnerMixin, compose
from testkit.screenshots import options as screenshots
from testkit.screenshots.needle.adapter import adapt
from testkit.selection.shards import ShardOptions
from testkit.session import Host, Session

if TYPE_CHECKING:
    from testkit.session.pooled import Workers


_SECTIONS = frozenset({"coverage", "budgets", "routes", "screenshots"})


class Nose2Runner(TestkitRunnerMixin):
    """The project's own runner, with testkit over it, for tests that nose2 has collected."""

    nose2: Nose2Session
    typed: Mapping[str, Any]
    hooked: HookedResult
    """nose2's result of this run."""

    def __init__(self, **kwargs: Any) -> None:
        self._collected: list[Any] = []
        self._is_prepared = False
        self._loading = ExitStack()
        super().__init__(**kwargs)
        self.test_suite = HookedSuite

    def _resolve_options(self, given: Mapping[str, Any]) -> Options:
        options = options_of(self.nose2, self.typed, settings)
        execution, shards = options[ExecutionOptions], options[ShardOptions]
        if shards.shard or shards.shard_from or execution.find_pollution:
            raise OptionError(
                "--shard and --find-pollution load tests in parts, which nose2 does not: use `testkit run`"
            )
        if execution.start_method not in ("auto", "fork"):
            raise OptionError(
                f"--start-method={execution.start_method}: what nose2 has collected is there in forks only"
            )
        return options

    def prepare(self) -> None:
        """Make Django's test environment, before the tests are loaded, and let them have the options of screenshots."""
        self._databases.before_loading()
        screenshots.export(self.testkit_options)
        adapt()
        self.setup_test_environment()
        unittest.removeHandler()  # Django has put it there; while tests are loaded, Ctrl-C ends nose2 as ever
        self._is_prepared = True
        self._loading.enter_context(own.tolerant_loading())

    def run_collected(self, names: Sequence[str], suite: Iterable[Any], execute: Callable[[Any, Any], Any]) -> None:
        """Run ``suite``, which nose2 has collected by ``names`` and would run by ``execute``; its result has the status."""
        self._loading.close()
        self._collected = [name_after_source(test) for test in iterate(suite)]
        self.hooked.counts_attempts = self.testkit_options[ExecutionOptions].retries > 0
        HookedSuite.hosting = Hosting(self.hooked, execute, own.layers_of(self.nose2))
        try:
            self.hooked.status = int(self.run_tests(names) > 0)
        except CommandError as error:
            print(f"testkit: {error}", file=sys.stderr)
            self.hooked.status = error.returncode
        finally:
            HookedSuite.hosting = None

    def _new_session(self) -> Session:
        session = super()._new_session()
        if self.testkit_options[Nose2Options].nose2_report:
            session.hear(_tell_measures)
        return session

    def _host(self) -> Host:
        host = super()._host()
        return host._replace(
            has_console=not self.testkit_options[Nose2Options].nose2_report,
            is_whole=host.is_whole and not own.chooses(self.nose2),
        )

    def log(self, msg: str, level: int | None = None) -> None:
        if not self.testkit_options[Nose2Options].nose2_report:  # then nose2 tells of the run
            super().log(msg, level)

    # What DiscoverRunner.run_tests() calls

    def setup_test_environment(self, **kwargs: Any) -> None:
        if not self._is_prepared:
            super().setup_test_environment(**kwargs)

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        return super().build_suite(["what nose2 has collected"])

    def load_tests_for_label(self, label: str, *args: Any, **kwargs: Any) -> Any:
        return self._collected

    def _why_to_end(self) -> str:
        return super()._why_to_end() or ("a plugin of nose2's stopped the run" if self.hooked.shouldStop else "")

    def _describe_workers(self, count: int) -> Workers:
        multiprocessing.set_start_method("fork", force=True)  # the only way that hands collected tests over
        assert self._session is not None, "tests run in a session"
        self._session.hear(Replay(self.hooked, tests_by_id(self._collected)))
        return super()._describe_workers(count)


def runner_of(session: Nose2Session, typed: Mapping[str, Any]) -> Nose2Runner:
    """Return the runner for nose2's ``session``, over the class that TEST_RUNNER names.

    Args:
        session: nose2's, whose own plugins it takes the place of where it does their work.
        typed: the options that the command line gives.

    Raises:
        TestkitError, CommandError: an option cannot be used.
    """
    options = options_of(session, typed, settings)[Nose2Options]
    asked = own.take_over(session)
    if not options.nose2_report:
        own.silence_report(session)
    hooked = HookedResult(session, shows_details=not options.nose2_report)
    base = compose(get_runner(settings))
    kind = type(base.__name__, (Nose2Runner, base), {"nose2": session, "typed": typed, "hooked": hooked})
    runner: Nose2Runner = kind(
        verbosity=min(session.verbosity, 1) if options.nose2_report else session.verbosity,
        interactive=False,
        keepdb=options.keepdb,
        reverse=options.reverse,
        debug_sql=options.debug_sql,
        parallel=options.parallel or asked.parallel,
        tags=options.tag,
        exclude_tags=options.exclude_tag,
        durations=options.durations or None,
        failfast=asked.failfast,
        buffer=asked.buffer,
        pdb=asked.pdb,
        enable_faulthandler=_has_descriptor(sys.stderr),
        testkit_is_command=True,
    )
    return runner


def _tell_measures(fact: Fact) -> None:
    """Show the figures of coverage, budgets, routes and screenshots, of which nose2's report knows nothing."""
    if isinstance(fact, RunMeasured) and fact.section in _SECTIONS and "text" in fact.data:
        print(fact.data["text"], file=sys.stderr)


def _has_descriptor(stream: Any) -> bool:
    """Return whether ``stream`` is a real one, which faulthandler can write to; a program that calls nose2 may have put
    another in its place.
    """
    try:
        stream.fileno()
    except (OSError, AttributeError):
        return False
    return True
