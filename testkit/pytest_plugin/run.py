"""The part of the plugin that tells listeners of the run: in pytest's own process, or in that which pytest-xdist controls."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from testkit.core.clock import clock
from testkit.core.errors import ExitStatus, TestkitError
from testkit.core.events import Fact, RunMeasured, TestFinished, WorkerStarted
from testkit.coverage.routes.options import RouteOptions
from testkit.execution.interrupts import Interrupted
from testkit.pytest_plugin import command_line
from testkit.pytest_plugin.annotate import COLLECTED
from testkit.pytest_plugin.facts import Translator
from testkit.pytest_plugin.ids import Name, in_browser, name_of
from testkit.pytest_plugin.state import State
from testkit.queries.options import QueryOptions
from testkit.selection.shards import ShardOptions
from testkit.session.host import Host
from testkit.session.options import RunOptions

_SECTIONS = frozenset({"budgets", "routes", "screenshots"})
"""What was measured that pytest's own summary does not tell."""


_SELECTING = ("keyword", "markexpr", "lf", "deselect", "ignore", "ignore_glob", "stepwise")
"""pytest's options that leave tests out."""


class Run:
    """Tells the listeners what happens in a run of pytest."""

    def __init__(self, config: pytest.Config, state: State) -> None:
        from testkit.session.hosted import HostedRun  # it needs no Django project, but Django

        self._config, self._state = config, state
        self._is_shard = bool(state.options[ShardOptions].shard)
        self._may_be_empty = False
        if self._is_shard:
            from testkit.pytest_plugin.shards import shard_of

            shard_of(state)  # refuses here what else each worker would
        selects = any(config.getoption(name, None) for name in _SELECTING)
        host = Host(
            has_console=False,
            keeps_journal=state.options[RunOptions].pytest_journal or self._is_shard,
            spell=command_line.flag_of,
            is_whole=not selects and config.args_source is not pytest.Config.ArgsSource.ARGS,
        )
        self._run = HostedRun(state.options, host, is_part=self._is_shard, tell=state.notice)
        self._translator = Translator(self._publish)
        self._early: list[Fact] = []
        self._collected: dict[str, TestFinished] = {}
        self._texts: list[str] = []
        self._stack = ExitStack()
        self._interrupted = self._stopped = ""
        try:
            self._stack.enter_context(self._run)
        except TestkitError as error:
            raise pytest.UsageError(f"testkit: {error}") from None

    # From the start of the tests

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        fact = self._translator.collected(report)
        if fact is not None:
            self._collected.setdefault(fact.id, fact)

    def _need_django(self) -> None:
        options = self._state.options
        wanted = {"query_budgets": options[QueryOptions].has_budgets, "with_routes": options[RouteOptions].has_routes}
        for name, is_wanted in wanted.items():
            if is_wanted and not command_line.is_django_set_up():
                raise pytest.UsageError(
                    command_line.NEEDS_DJANGO.format(f"{name} (from {options.settings[name].origin})")
                )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, Any, Any]:
        if not self._config.pluginmanager.has_plugin("dsession"):  # else pytest-xdist's workers collect
            self._begin([name_of(item) for item in session.items], in_browser(session.items))
        with self._terminated():
            return (yield)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        if self._run.run_id:
            return
        place = self._state.folder / COLLECTED
        # There is none if the worker is on another machine.
        self._translator.has_names = place.exists()
        times = node.workerinput["workercount"] if self._config.getoption("dist", "") == "each" else 1
        told: dict[str, Any] = {"names": {}, "in_browser": [], "is_whole": True}
        if place.exists():
            told = json.loads(place.read_text())
        self._state.is_whole &= told["is_whole"]
        self._translator.names = {nodeid: Name(*name) for nodeid, name in told["names"].items()}
        self._begin([self._translator.name_of(nodeid) for nodeid in ids] * times, told["in_browser"])

    def _begin(self, names: Sequence[Name], in_browser: Sequence[str]) -> None:
        if self._is_shard:
            from testkit.pytest_plugin.shards import falls_to

            # Every shard collects all modules; of those that cannot be collected, each is told by one.
            self._collected = {id: fact for id, fact in self._collected.items() if falls_to(id, self._state)}
        ids = (*(name.id for name in names), *self._collected)
        if not self._state.is_whole:
            self._run.leaves_tests_out()
        self._need_django()
        try:
            self._run.begin(ids, in_browser=in_browser)
        except TestkitError as error:
            raise pytest.UsageError(f"testkit: {error}") from None
        if self._is_shard:
            from testkit.pytest_plugin.shards import finish_manifest

            self._may_be_empty = finish_manifest(self._state.folder, self._run.run_id, ids)
        self._run.measured("environment", {"program": "python -m pytest"})
        self._run.hear(self._keep_text)
        for fact in (*self._early, *self._collected.values()):
            self._publish(fact)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        # It may be on another machine, and does not say what its process is called there.
        self._publish(WorkerStarted(worker=str(node.gateway.id), at=clock.now(), pid=0))

    def _publish(self, fact: Fact) -> None:
        if self._run.run_id:
            self._run.publish(fact)
        else:
            self._early.append(fact)

    def _keep_text(self, fact: Fact) -> None:
        if not isinstance(fact, RunMeasured):
            return
        if fact.section == "reports":
            self._texts += [f"{title}: {path}" for title, path in fact.data.items()]
        elif fact.section in _SECTIONS and fact.data.get("text"):
            self._texts.append(str(fact.data["text"]).strip("\n"))

    # What happens

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._translator.take(report)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        if error:
            self._translator.lost(str(node.gateway.id), str(error))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        value = excinfo.value
        if isinstance(value, Interrupted):
            self._interrupted = str(value)
        elif type(value) is KeyboardInterrupt:
            self._interrupted = "SIGINT"
        else:  # pytest's own: errors in collection, --maxfail with workers, pytest.exit()
            self._stopped = str(value) or "pytest was told to end"

    def pytest_internalerror(self) -> None:
        self._stopped = "an error in pytest, or in a plugin"

    # The end

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._run.run_id:
            return
        stopped = self._stopped or str(session.shouldfail or session.shouldstop or "")
        self._run.end(stopped=stopped, interrupted=self._interrupted)
        self._run.finish()
        self._state.notices += self._texts
        status, why = self._run.status()
        if status is ExitStatus.RUN_FAILED:
            self._state.notice(why)  # also when pytest has found a reason of its own
        if self._may_be_empty and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            session.exitstatus = pytest.ExitCode.OK
        if session.exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            return
        if status is ExitStatus.RUN_FAILED:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        self._stack.close()

    def _terminated(self) -> Any:
        """Return a block in which SIGTERM ends the run as Ctrl-C does, with its reports, unless somebody handles it."""
        stack = ExitStack()
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:

            def end(number: int, frame: object) -> None:
                raise Interrupted("SIGTERM")

            signal.signal(signal.SIGTERM, end)
            stack.callback(signal.signal, signal.SIGTERM, signal.SIG_DFL)
        return stack
