"""The front for Django: a ``DiscoverRunner`` whose tests run in a testkit session.

``TEST_RUNNER = "testkit.runner.TestkitRunner"`` in the settings is all that a project needs.
"""

from __future__ import annotations

import gc
import os
import sys
import traceback
import unittest
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest import TestResult

from django.conf import settings
from django.core.management import CommandError
from django.test import TestCase, TransactionTestCase
from django.test.runner import DebugSQLTextTestResult, DiscoverRunner, PDBDebugResult, parallel_type

from testkit.core.errors import ExitStatus, OptionError, TestkitError
from testkit.core.options import Options, add_arguments, declared
from testkit.coverage.options import CoverageOptions
from testkit.coverage.routes.options import RouteOptions
from testkit.databases import guard
from testkit.databases.options import DatabaseOptions, GuardOptions
from testkit.execution.cores import usable_cores
from testkit.execution.exits import limit_exit
from testkit.execution.ids import is_failed_import, iterate, test_id
from testkit.execution.inline import RecordedSuite
from testkit.execution.options import ExecutionOptions
from testkit.queries.options import QueryOptions
from testkit.selection.rerun import RerunOptions
from testkit.session import GROUPS, Host, RunOptions, Session, resolve_options
from testkit.session.databases import Databases
from testkit.session.program import program_of

if TYPE_CHECKING:
    from testkit.session.parallel import ParallelRun
    from testkit.session.pooled import Workers

    _Base = DiscoverRunner
else:
    _Base = object


class TestkitRunnerMixin(_Base):
    """Puts testkit over a ``DiscoverRunner``: name it first, before your own runner class.

    All flags of Django's runner, and of yours, keep their names and meaning.
    """

    __test__ = False
    default_labels: Sequence[str] = ()
    own_options: Collection[str] = declared(GROUPS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in self.own_options if name in kwargs}
        self._is_command: bool = kwargs.pop("testkit_is_command", False)
        with _command_errors():
            if kwargs.get("pdb") and kwargs.get("parallel", 0) > 1:
                raise OptionError("--pdb needs the terminal, which no worker of --parallel has: leave one of them out")
        super().__init__(*args, **kwargs)
        with _command_errors():
            self.testkit_options = self._resolve_options(given)
        # Django's own ways of running in parallel, and of cloning databases for it, are not used.
        self._workers_wanted, self.parallel = self.parallel, min(self.parallel, 1)
        self._workers = 0
        self._takes_all_labels = False
        self._flushes = False
        self._databases = Databases(
            self.testkit_options,
            keepdb=self.keepdb,
            # Nothing here imports coverage.py unless it measures; `coverage run` has it imported.
            is_covered=self.testkit_options[CoverageOptions].with_cov or "coverage" in sys.modules,
            verbosity=self.verbosity,
            tell=self._notice,
        )
        self._parallel: ParallelRun | None = None
        self._session: Session | None = None
        if issubclass(RecordedSuite, self.test_suite):
            self.test_suite = RecordedSuite

    def _resolve_options(self, given: Mapping[str, Any]) -> Options:
        return resolve_options(given, settings)

    @classmethod
    def add_arguments(cls, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parallel = parser._option_string_actions["--parallel"]
        parallel.type = _processes  # Django's own `auto` counts the cores of the machine, whoever else may use them
        cls.own_options = add_arguments(parser, GROUPS)
        # Django's parser knows whether it serves a command, whose process ends with it, or call_command().
        parser.set_defaults(testkit_is_command=bool(getattr(parser, "called_from_command_line", False)))

    def run_tests(self, test_labels: Sequence[str], **kwargs: Any) -> int:
        """Run the tests and return how many failed.

        Raises:
            CommandError: the run itself failed or was interrupted; ``returncode`` is the exit status.
        """
        status: int = ExitStatus.RUN_FAILED
        try:
            failures = self._run_tests(test_labels, **kwargs)
            status = min(failures, int(ExitStatus.TESTS_FAILED))
        except CommandError as error:
            status = error.returncode
            raise
        finally:
            if self._is_command:
                limit_exit(status)
        return failures

    def _run_tests(self, test_labels: Sequence[str], **kwargs: Any) -> int:
        options = self.testkit_options[RunOptions]
        if options.in_order:
            self.reorder_by = cast(Any, ())
        labels = list(test_labels or self.default_labels)
        self._takes_all_labels = not test_labels
        if options.show_options:
            print(self.testkit_options.describe())
            return 0
        if options.list_tests:
            return self._list_tests(labels)
        if self.testkit_options[DatabaseOptions].show_fingerprint:
            return self._show_fingerprint()
        stock = sys.modules.get("testkit.queries.budgets.stock")
        if stock is not None:
            stock.withdraw()  # this runner sees to the budgets itself
        with _command_errors():
            session = self._new_session()  # with coverage, under manage.py, the process begins anew here
        if self._is_command:
            # Django and the project stay until the process ends: the garbage collector need not walk over them again
            # and again, least of all then. Not the tests, which are not loaded yet and do not stay.
            gc.freeze()
        with _command_errors(), guard.guarded_run(lasts=self._is_command), session:
            self._databases.before_loading()
            try:
                failures = super().run_tests(labels, **kwargs)
            except BaseException as error:
                with suppress(TestkitError):  # what went wrong first is told
                    session.finish(str(error) or type(error).__name__)
                if isinstance(error, SystemExit) and not error.code:
                    raise TestkitError(
                        "sys.exit(0) was called outside of the tests: the run is not complete"
                    ) from error
                raise
            if self.testkit_options[ExecutionOptions].find_pollution:
                return 0
            session.finish()
            status, reason = session.status(failures)
        if reason:
            raise CommandError(reason, returncode=status)
        return failures if failures is not None else int(status)

    def _new_session(self) -> Session:
        measurement = None
        coverage = self.testkit_options[CoverageOptions]
        if coverage.with_cov:
            from testkit.coverage import measure  # here, as most runs need nothing of it

            measurement = measure.running() or measure.relaunch(coverage)
        self._session = session = Session(self.testkit_options, self._host(), measurement)
        if self.get_resultclass() not in (None, DebugSQLTextTestResult, PDBDebugResult):
            session.notice(f"get_resultclass() of {type(self).__name__} is not used: results are testkit's listeners'")
        if self.test_runner is not unittest.TextTestRunner:
            session.notice(f"test_runner of {type(self).__name__} is not used: testkit's session takes its place")
        return session

    def _host(self) -> Host:
        chosen = (
            self.tags,
            self.exclude_tags,
            self.test_name_patterns,
            self.testkit_options[RerunOptions].last_failed,
            self.pattern != "test*.py",  # Django's
        )
        return Host(
            self.verbosity,
            self.failfast,
            self.buffer,
            self.debug_sql,
            self.pdb,
            self.durations,
            is_whole=self._takes_all_labels and not any(chosen),
        )

    def _notice(self, text: str) -> None:
        if self._session is not None:
            self._session.notice(text)

    def _list_tests(self, labels: list[str]) -> int:
        with _command_errors():
            self._session = Session(self.testkit_options, self._host())  # never entered: it only selects
        self.verbosity = 0
        self.setup_test_environment()
        try:
            tests = list(iterate(self.build_suite(labels)))
        finally:
            self.teardown_test_environment()
        for test in tests:
            print(test_id(test))
        missing = [test_id(test) for test in tests if is_failed_import(test)]
        if missing:
            raise CommandError(f"cannot be imported: {', '.join(missing)}", returncode=ExitStatus.RUN_FAILED)
        if not tests and not self.testkit_options[RunOptions].allow_no_tests:
            raise CommandError("there is no test", returncode=ExitStatus.NOTHING_RAN)
        return 0

    def _show_fingerprint(self) -> int:
        with _command_errors(), guard.guarded_run(lasts=self._is_command):
            for line in self._databases.explain():
                print(line)
        return 0

    # What DiscoverRunner.run_tests() calls, in its order

    def setup_test_environment(self, **kwargs: Any) -> None:
        super().setup_test_environment(**kwargs)
        if self._session is not None:
            self._session.interrupts.install()  # Django has just put unittest's handler in their place

    def load_tests_for_label(self, label: str, *args: Any, **kwargs: Any) -> Any:
        if self._session is not None and self._session.sharding and self._session.sharding.leaves_out(label):
            return self.test_suite()
        tests = super().load_tests_for_label(label, *args, **kwargs)
        for test in iterate(tests or ()):
            # Of a label that leads nowhere unittest knows the last name only; its id is the label.
            if is_failed_import(test) and label.endswith(f".{test._testMethodName}"):
                test._testMethodName = label
        return tests

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        if self._session is None:
            return super().build_suite(*args, **kwargs)
        labels = args[0] if args else kwargs.get("test_labels")
        with self._session.loading(self, labels):
            suite = super().build_suite(*args, **kwargs)
        tests = list(iterate(suite))
        selected = self._session.select(tests, self._rank)
        self._workers = min(self._workers_wanted, len(selected))
        self._flushes = any(
            isinstance(test, TransactionTestCase) and not isinstance(test, TestCase) for test in selected
        )
        return suite if selected == tests else self.test_suite(selected)

    def _rank(self, test: Any) -> int:
        """Return the place of ``test`` among the kinds that Django runs one after the other."""
        if is_failed_import(test):
            return -1
        ranks = (rank for rank, kind in enumerate(self.reorder_by) if isinstance(test, kind))
        return next(ranks, len(self.reorder_by))

    def setup_databases(self, **kwargs: Any) -> Any:
        with self._quietly(), self._databases.making(kwargs.get("aliases")) as report:
            old_config = super().setup_databases(**kwargs)
        self._databases.made(old_config)
        if self._session is not None and report:
            self._session.measured("databases", report)
        return old_config

    def run_checks(self, databases: Any) -> None:
        run = super().run_checks
        self._databases.run_checks(
            lambda: run(databases),
            has_core=usable_cores() > max(self._workers, 1) and not self.pdb,
            flushes=self._flushes,
            is_parallel=self._workers > 1,
        )

    def run_suite(self, suite: Any, **kwargs: Any) -> Any:
        if self._session is None:
            return super().run_suite(suite, **kwargs)
        if self.testkit_options[ExecutionOptions].find_pollution:
            self._session.find_pollution(suite, self._describe_workers(1), self._arguments_of_selection())
            return TestResult()
        session = self._session
        session.measured("environment", self._environment())
        is_parallel = self._workers > 1 or self._needs_fresh_databases(suite)
        workers = self._describe_workers(max(self._workers, 1)) if is_parallel else None
        ends = self._why_to_end
        # In the place of unittest's TextTestRunner: whatever a project's run_suite does around it is kept.
        self.test_runner = cast(Any, lambda **_: SimpleNamespace(run=lambda suite: session.run(suite, workers, ends)))
        with self._databases.surrounding_tests(are_here=not is_parallel, hear=session.hear):
            return super().run_suite(suite, **kwargs)

    def _environment(self) -> dict[str, Any]:
        """Return what reports tell of how the run was started: the program, and the seed if it is shuffled."""
        seed = self.shuffle_seed
        return {"program": program_of(sys.argv), **({} if seed is None else {"seed": seed})}

    def _why_to_end(self) -> str:
        """Return why no further test is to begin, if so."""
        return self._databases.why_to_end()

    def _needs_fresh_databases(self, suite: Any) -> bool:
        """Return whether the tests run again and again, so that some need rows which others have removed."""
        options = self.testkit_options[ExecutionOptions]
        if not options.until_fail or options.repeat > 1 or self.pdb:
            return False
        from testkit.execution.units import kind_of
        from testkit.selection.order import Kind

        return {Kind.NEEDS_ROWS, Kind.CHANGES_ROWS} <= {kind_of(type(test)) for test in iterate(suite)}

    def _describe_workers(self, count: int) -> Workers:
        """Return what the session needs to know of the workers that the tests run in."""
        from testkit.session.parallel import ParallelRun  # here, as it brings what only parallel runs need

        budgets = self.testkit_options[QueryOptions]
        self._parallel = ParallelRun(
            count=count,
            start_method=self.testkit_options[ExecutionOptions].start_method,
            databases=self._databases,
            parallel_suite=self.parallel_test_suite,
            suite=self.test_suite,
            debug=self.debug_mode,
            isolate=self.testkit_options[ExecutionOptions].isolate,
            hosts=self.testkit_options[GuardOptions].safe_database_hosts,
            budgets=budgets.query_budgets_file.absolute() if budgets.has_budgets else None,
            routes=self.testkit_options[RouteOptions].has_routes,
        )
        return self._parallel.workers(
            longest_first=self.shuffle is False and not self.reverse,
            rank_of=self._session.rank_of_failed if self._session is not None else None,
        )

    def _arguments_of_selection(self) -> list[str]:
        """Return the arguments by which a run finds the tests of this one."""
        settings_module = os.environ.get("DJANGO_SETTINGS_MODULE")
        return [f"--settings={settings_module}"] if settings_module else []

    def teardown_databases(self, old_config: Any, **kwargs: Any) -> None:
        with self._quietly(), self._databases.dropping():
            if self._parallel is not None:
                self._parallel.close()
            super().teardown_databases(old_config, **kwargs)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Keep Django's line for each database to ``-v 2``."""
        verbosity = self.verbosity
        self.verbosity = 0 if verbosity == 1 else verbosity
        try:
            yield
        finally:
            self.verbosity = verbosity


class TestkitRunner(TestkitRunnerMixin, DiscoverRunner):
    """Django's ``DiscoverRunner`` with testkit."""


def _processes(value: str) -> Any:
    """Read ``--parallel``: as Django does, but for ``auto``, which stands for the cores that this process may use."""
    number = parallel_type(value)
    if number != "auto":
        return number
    given = os.environ.get("DJANGO_TEST_PROCESSES") or usable_cores()
    try:
        return int(given)
    except ValueError:
        raise ArgumentTypeError(f"the variable DJANGO_TEST_PROCESSES is {given!r}, and not a number") from None


@contextmanager
def _command_errors() -> Iterator[None]:
    """Turn what ends a run into the CommandError that management commands end with."""
    try:
        yield
    except CommandError as error:
        if error.returncode == 1:  # Django's own: failed system checks, for example
            error.returncode = ExitStatus.RUN_FAILED
        raise
    except TestkitError as error:
        raise CommandError(str(error), returncode=error.status) from error
    except KeyboardInterrupt as error:
        status = ExitStatus.TERMINATED if str(error) == "SIGTERM" else ExitStatus.INTERRUPTED
        raise CommandError(f"interrupted by {str(error) or 'SIGINT'}", returncode=status) from error
    except Exception as error:
        traceback.print_exc()
        raise CommandError(
            f"the run failed: {type(error).__name__}: {error}", returncode=ExitStatus.RUN_FAILED
        ) from error


def compose(runner: type[Any], default_labels: Sequence[str] = ()) -> type[TestkitRunnerMixin]:
    """Return ``runner`` (a project's own ``DiscoverRunner``) with testkit over it.

    Args:
        runner: the class that ``TEST_RUNNER`` names.
        default_labels: what runs when no labels are given.

    Raises:
        OptionError: the class is no ``DiscoverRunner``, so there is nothing to build on.
    """
    name = f"{runner.__module__}.{runner.__qualname__}"
    if runner.__module__.startswith("xmlrunner."):
        # It would open files of its own, and get no results to write into them.
        print(
            f"testkit: in the place of {name}, give --with-xunit (--xunit-flavour=classic for its files)",
            file=sys.stderr,
        )
        runner = DiscoverRunner
    if not issubclass(runner, DiscoverRunner):
        raise OptionError(f"TEST_RUNNER is {name}, which is no DiscoverRunner: give --testrunner with one that is")
    bases = (runner,) if issubclass(runner, TestkitRunnerMixin) else (TestkitRunnerMixin, runner)
    return type(runner.__name__, bases, {"__module__": runner.__module__, "default_labels": tuple(default_labels)})


Composed: type[TestkitRunnerMixin] = TestkitRunner
"""What ``python -m testkit`` runs: the project's own runner, composed."""
