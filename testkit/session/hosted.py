"""A run whose tests somebody else runs: nose2, or pytest. The host says what happens; the listeners are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from testkit.core import journal
from testkit.core.options import Options
from testkit.session.databases import Databases
from testkit.session.execution import noting_requests
from testkit.session.host import Host
from testkit.session.listening import Places
from testkit.session.options import CACHE, REPORTS
from testkit.session.telling import Telling

if TYPE_CHECKING:
    from testkit.coverage.measure import Measurement


class HostedRun(Telling):
    """A run of a host's.

    A front does this, in this order::

        options = resolve_options(typed, settings, host=[source of the host's configuration])
        run = HostedRun(options, Host(...), measurement, takes_signals=...)
        databases = run.databases(keepdb=...)      # then making(), made(), run_checks(), surrounding_tests(), dropping()
        with run:                                  # refuses options that cannot work; handles signals, if asked to
            run.begin(ids)                         # RunStarted, and what was measured before
            with run.around_tests():               # in each process that runs tests: notes their requests
                run.publish(fact)                  # FixtureStarted … TestFinished, as they happen
            run.end(stopped="--failfast")          # RunFinished; tests that no fact accounts for are lost, or not run
            run.finish()                           # when the databases are dropped: coverage and the last reports
            status, why = run.status()             # what the process should end with

    What runs tests by unittest's means takes its facts from :class:`testkit.execution.recorder.Recorder`, with
    ``run.publish``; what does not makes them itself.

    Of several processes, one has the run: it hears all facts, and its journal is the run's. The others have no
    ``HostedRun``. They make facts, give each as a line (``testkit.core.events.to_json``: ASCII, so that any channel
    takes it) to whatever channel the host has, and the run's process calls :meth:`take` with it. It also publishes
    ``WorkerStarted`` and, for one that died, ``WorkerLost``.
    """

    def __init__(
        self,
        options: Options,
        host: Host,
        measurement: Measurement | None = None,
        *,
        folder: Path | None = None,
        takes_signals: bool = False,
        is_part: bool = False,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Describe it.

        Args:
            options: of the run.
            host: what the host's own flags say.
            measurement: of coverage, if testkit measures it.
            folder: that relative paths of ours are in; the current one by default.
            takes_signals: whether SIGINT and SIGTERM are to be handled here (``run.interrupts``, which then needs
                ``stopping()`` around the tests) because the host does not.
            is_part: whether it is one of several runs that are joined later.
            tell: tells the user something that is no fact, in the place of a line on stderr.
        """
        place = folder or Path(os.getcwd())
        super().__init__(
            options, host, measurement, Places(place / REPORTS / "journal", place / CACHE / "durations.json")
        )
        self._takes_signals = takes_signals
        self._is_part = is_part
        self._tell = tell

    def notice(self, text: str) -> None:
        """Tell the user something about the run that is no fact of it."""
        if self._tell is None:
            super().notice(text)
        else:
            self._tell(text)

    def databases(self, *, keepdb: bool, is_covered: bool = False) -> Databases:
        """Return what provides the databases of the run, where the host makes them by Django's ``setup_databases``.

        Args:
            keepdb: whether templates may stay on servers for the next run.
            is_covered: whether somebody else measures coverage.
        """
        return Databases(
            self.options,
            keepdb=keepdb,
            is_covered=is_covered or self._measurement is not None,
            verbosity=self._host.verbosity,
            tell=self.notice,
        )

    def begin(self, ids: Iterable[str], *, in_browser: Collection[str] = (), is_parallel: bool = False) -> None:
        """Begin the run of the tests ``ids``, which may have one id twice.

        ``in_browser`` are those that need a browser; ``is_parallel`` if this process forks.

        Raises:
            TestkitError: a listener cannot work.
        """
        self.listen(in_browser, is_parallel=is_parallel)
        self.publish_start(ids)

    def around_tests(self) -> AbstractContextManager[None]:
        """Return what is to be around the tests of this process: it notes what requests cost and ask for."""
        return noting_requests(self.options)

    def take(self, line: str) -> None:
        """Publish the fact of a worker that ``to_json`` made into ``line``; what is none is passed over."""
        fact = journal.decode(line)
        if fact is not None:
            self.publish(fact)

    def end(self, *, stopped: str = "", interrupted: str = "") -> None:
        """End the run, once; the arguments are those of :meth:`publish_end`. A signal that was handled here is known."""
        if self.run_id and self._finished is None:
            self.publish_end(stopped=stopped, interrupted=interrupted or self.interrupts.received)
