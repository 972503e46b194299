"""One run as its listeners hear it, whoever runs the tests: from RunStarted to RunFinished, the reports, and the status."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from testkit.core import journal
from testkit.core.bus import Bus, Listener
from testkit.core.clock import clock
from testkit.core.errors import ExitStatus
from testkit.core.events import Fact, RunFinished, RunMeasured, RunStarted
from testkit.core.options import Options
from testkit.core.tally import Tally
from testkit.coverage.options import CoverageOptions
from testkit.execution.interrupts import Interrupts
from testkit.execution.options import ExecutionOptions
from testkit.listeners.history import HistoryOptions
from testkit.queries.options import QueryOptions
from testkit.session.formats import FORMATS
from testkit.session.history.code import code_of
from testkit.session.host import Host
from testkit.session.listening import Listening, Losses, Places
from testkit.session.options import CACHE, REPORTS, RunOptions
from testkit.session.status import Ending

if TYPE_CHECKING:
    from testkit.coverage.change import Base
    from testkit.coverage.measure import Measurement


class Telling:
    """What all runs have in common: listeners, which are told facts, and what these come to in the end.

    Enter it first; then come ``begin``, the facts, ``end`` and, when everything was torn down, ``finish`` and ``status``.
    """

    def __init__(
        self, options: Options, host: Host, measurement: Measurement | None = None, places: Places | None = None
    ) -> None:
        """``measurement`` is the coverage measurement that is on, if one is; ``places`` are where a run of ours writes."""
        self.options = options
        self.interrupts = Interrupts()
        self.run_id = ""
        """The id of the run; empty until it begins."""
        # A test may change the working directory.
        self.places = places or Places((REPORTS / "journal").absolute(), (CACHE / "durations.json").absolute())
        self._host = host
        self._measurement = measurement
        self._tally = Tally()
        self._bus = Bus([self._tally])
        self._stack = ExitStack()
        self._early: list[RunMeasured] = []
        self._started = 0.0
        self._finished: RunFinished | None = None
        self._below_minimum: list[str] = []
        self._base: Base | None = None
        self._broken = ""
        self._losses = Losses()
        self._listening: Listening | None = None
        self._takes_signals = True
        """Whether SIGINT and SIGTERM are handled here, and not by the host."""
        self._is_part = False
        """Whether it is one of several runs that are joined later."""

    def __enter__(self) -> Self:
        if self._takes_signals:
            self._stack.enter_context(self.interrupts)
        self._tell_what_has_no_effect()
        if self.options[QueryOptions].update_query_snapshots:
            os.environ["TESTKIT_UPDATE_QUERY_SNAPSHOTS"] = "1"  # for the assertion, in whatever process it is
        self._listening = Listening(self.options, self._host, self._bus, self._tally, self.places)
        if self._measurement is not None and not self._is_part and self.options[CoverageOptions].has_diff:
            self._base = self._base_of_change()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _tell_what_has_no_effect(self) -> None:
        settings, spell = self.options.settings, self._host.spell
        of_formats = ((f"{name}_", f"with_{name}") for name in FORMATS)
        switches = (("cover_", "with_cov"), ("xunit_", "with_xunit"), ("history_", "with_history"), *of_formats)
        for prefix, switch in switches:
            for name, setting in settings.items():
                if name.startswith(prefix) and setting.origin.startswith("--") and not settings[switch].value:
                    self.notice(f"{setting.origin} has no effect without {spell(switch)}")
        if self.options[QueryOptions].query_budgets == "off" and self.options[QueryOptions].update_query_budgets:
            self.notice(f"{spell('update_query_budgets')} has no effect with {spell('query_budgets')}=off")

    def _base_of_change(self) -> Base | None:
        """Return what the change is compared with, of which the coverage is told.

        Raises:
            OptionError: there is no such commit, or diff-cover is not installed.
        """
        from testkit.coverage.change import Base

        return Base(self.options[CoverageOptions], os.environ, Path.cwd())

    @property
    def may_be_empty(self) -> bool:
        """Whether a run in which no test ran is fine."""
        return self.options[RunOptions].allow_no_tests

    def hear(self, listener: Listener) -> None:
        """Let ``listener`` hear the facts from now on."""
        self._bus.subscribe(listener)

    def notice(self, text: str) -> None:
        """Tell the user something about the run that is no fact of it."""
        if self._host.verbosity > 0:
            print(f"testkit: {text}", file=sys.stderr, flush=True)

    # Facts

    def listen(self, in_browser: Collection[str] = (), *, is_parallel: bool) -> Listening:
        """Begin a run: from here on listeners hear its facts. The arguments are those of :meth:`Listening.begin`."""
        self.run_id = journal.new_run_id()
        listening = self._listening
        assert listening is not None, "a run is entered before its tests run"
        listening.begin(
            self.run_id,
            self._stack,
            is_parallel=is_parallel,
            in_browser=in_browser,
            remembers=not self._is_part,  # what a part was planned from is for the merge to change
            measured=self.measured,
            notice=self.notice,
        )
        coverage: list[Listener] = [] if self._measurement is None else [self._measurement, self._losses]
        listening.end_with(*coverage)
        return listening

    def publish_start(self, ids: Iterable[str]) -> None:
        """Publish that the run of the tests ``ids`` begins, and what was measured before."""
        self._bus.publish(_run_started(self.run_id, tuple(ids)))
        code = code_of(os.environ, Path.cwd(), asks_git=self.options[HistoryOptions].with_history)
        if code is not None:
            from testkit.core.results import SOURCE  # here, as only a CI system tells it without being asked

            self._bus.publish(RunMeasured(section=SOURCE, data=code.to_plain()))
        for fact in self._early:
            self._bus.publish(fact)
        self._started = clock.seconds()

    def publish(self, fact: Fact) -> None:
        """Give ``fact`` to all listeners."""
        self._bus.publish(fact)

    def publish_end(self, *, stopped: str = "", interrupted: str = "") -> None:
        """Publish that the run is over; its time is that since its start.

        Args:
            stopped: why it ended early, if it did: what did not run then is left out, and not lost.
            interrupted: the name of the signal that ended it early, if one did; it goes before ``stopped``.
        """
        left = self._tally.unaccounted()
        was_cut = bool(interrupted or stopped)
        self._finished = RunFinished(
            at=clock.now(),
            seconds=clock.seconds() - self._started,
            interrupted=interrupted,
            stopped="" if interrupted else stopped,
            not_run=left if was_cut else (),
            lost=() if was_cut else left,
        )
        self._bus.publish(self._finished)

    def measured(self, section: str, data: Mapping[str, Any]) -> None:
        """Publish something that was measured about the run; what comes before the tests waits for them."""
        fact = RunMeasured(section=section, data=data)
        if self.run_id:
            self._bus.publish(fact)
        else:
            self._early.append(fact)

    # Ending

    def finish(self, broken: str = "") -> None:
        """Make the reports that need the run to be over, and say where all of them are; if there was a run.

        The last that listeners hear is the section ``status``: what the process is going to end with. ``broken`` says what
        went wrong with the run itself, if something did.
        """
        self._broken = broken
        if not self.run_id or self._listening is None:
            return
        reports = self._listening.reports
        try:
            if self._measurement is not None:
                self._finish_coverage(self._measurement, reports)
        except Exception as error:
            self._broken = self._broken or str(error) or type(error).__name__
            raise
        finally:
            if reports:
                self.measured("reports", reports)
            status, why = self._judge()
            self.measured("status", {"status": int(status), "reason": why})

    def _finish_coverage(self, measurement: Measurement, reports: dict[str, str]) -> None:
        result = measurement.finish(self._base)
        for warning in result.warnings:
            self.notice(f"coverage.py: {warning}")
        if self._losses.tests:
            self.notice(
                f"the coverage lacks what {len(self._losses.tests)} tests ran in workers that were lost: "
                f"{', '.join(self._losses.tests[:3])}{' …' * (len(self._losses.tests) > 3)}"
            )
        reports |= {title: str(path) for title, path in result.reports.items()}
        if self._is_part:
            measurement.keep(self.places.journals.parent)  # only all parts together can reach a minimum
        elif result.below_minimum:
            self._below_minimum.append(result.below_minimum)
        self.measured(
            "coverage",
            {
                "percent": result.percent,
                "covered": result.covered,
                "statements": result.statements,
                "files": {name: file._asdict() for name, file in result.files.items()},
                "text": f"\n{result.text.rstrip()}",
            },
        )
        if result.change is not None:
            change = result.change.to_plain(self.options[CoverageOptions].cover_diff_min)
            self._below_minimum += [change["failing"]] if change["failing"] else []
            self.measured("diff_coverage", change)

    def status(self, failures: int | None = None) -> tuple[ExitStatus, str]:
        """Return how the process should end, and why if it is for more than ``failures`` tests that failed.

        ``failures`` is what the host made of the result, if it has an opinion; the facts go before it.
        """
        status, why = self._judge(failures)
        if status is ExitStatus.TESTS_FAILED and self._below_minimum:
            self.notice("; ".join(self._below_minimum))
        elif status is ExitStatus.PASSED and self._tally.bad:
            self.notice(f"suite_result() of the project's runner lets {self._tally.bad} failures pass")
        return status, why

    def _judge(self, failures: int | None = None) -> tuple[ExitStatus, str]:
        ending = Ending(
            finished=self._finished,
            interrupted=self.interrupts.received or (self._finished.interrupted if self._finished else ""),
            tally=self._tally,
            listener_failures=self._bus.failures,
            failures=self._tally.bad if failures is None else failures,
            flaky_fails=self.options[ExecutionOptions].flaky == "fail",
            may_be_empty=self.may_be_empty,
            below_minimum="; ".join(self._below_minimum),
            over_budget=self._listening.problem if self._listening is not None else "",
        )
        if self._broken and not ending.interrupted:
            return ExitStatus.RUN_FAILED, self._broken
        return ending.status()


def _run_started(run: str, ids: tuple[str, ...]) -> RunStarted:
    django = sys.modules.get("django")
    return RunStarted(
        run=run,
        at=clock.now(),
        ids=ids,
        python=platform.python_version(),
        django=django.get_version() if django else "",
        hostname=platform.node(),
        directory=os.getcwd(),
    )
