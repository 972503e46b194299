"""A run whose tests somebody else runs: nose2, or pytest. The host says what happens; the listeners are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from testkit.core.options import Options
from testkit.session.host import Host
from testkit.session.telling import Telling


class HostedRun(Telling):
    """A run of a host's.

    A front does this, in this order::

        options = resolve_options(typed, settings, host=[source of the host's configuration])
        with HostedRun(options, Host(...)) as run:     # refuses options that cannot work
            run.begin(ids)                             # RunStarted, and what was measured before
            run.publish(fact)                          # FixtureStarted … TestFinished, as they happen
            run.end(stopped="--maxfail")               # RunFinished; tests that no fact accounts for are lost, or not run
            run.finish()                               # the last reports
            status, why = run.status()                 # what the process should end with

    Of several processes, one has the run: it hears all facts, and its journal is the run's. The others have no
    ``HostedRun``. They make facts, give each as a line (``testkit.core.events.to_json``: ASCII, so that any channel
    takes it) to whatever channel the host has, and the run's process publishes them, with ``WorkerStarted`` and, for one
    that died, ``WorkerLost``. Signals are the host's to handle.
    """

    def __init__(
        self, options: Options, host: Host, *, is_part: bool = False, tell: Callable[[str], None] | None = None
    ) -> None:
        """Describe it.

        Args:
            options: of the run.
            host: what the host's own flags say.
            is_part: whether it is one of several runs that are joined later.
            tell: tells the user something that is no fact, in the place of a line on stderr.
        """
        super().__init__(options, host)
        self._takes_signals = False
        self._is_part = is_part
        self._tell = tell

    def notice(self, text: str) -> None:
        """Tell the user something about the run that is no fact of it."""
        if self._tell is None:
            super().notice(text)
        else:
            self._tell(text)

    def leaves_tests_out(self) -> None:
        """Say, before it begins, that not all tests of the project run, as was found when they were collected."""
        assert self._listening is not None, "a run is entered first"
        self._listening.is_whole = False

    def begin(self, ids: Iterable[str], *, in_browser: Collection[str] = (), is_parallel: bool = False) -> None:
        """Begin the run of the tests ``ids``, which may have one id twice.

        ``in_browser`` are those that need a browser; ``is_parallel`` if this process forks.

        Raises:
            TestkitError: a listener cannot work.
        """
        self.listen(in_browser, is_parallel=is_parallel)
        self.publish_start(ids)

    def end(self, *, stopped: str = "", interrupted: str = "") -> None:
        """End the run, once; the arguments are those of :meth:`publish_end`."""
        if self.run_id and self._finished is None:
            self.publish_end(stopped=stopped, interrupted=interrupted)
