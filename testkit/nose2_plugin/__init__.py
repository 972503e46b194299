"""The front for nose2: ``plugins = testkit.nose2_plugin`` under ``[unittest]`` in its configuration.

Nothing but nose2 is imported before a run has the plugin on: whoever imports this module pays for no more.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nose2 import events

if TYPE_CHECKING:
    from testkit.nose2_plugin.runner import Nose2Runner


class Testkit(events.Plugin):  # type: ignore[misc]  # nose2 is not typed
    """Sets Django up, makes the test databases, and lets testkit run and report what nose2 has collected.

    Where there is no Django project it does nothing, and nose2 is as it ever was.
    """

    __test__ = False
    alwaysOn = True
    configSection = "testkit"
    commandLineSwitch = (None, "with-testkit", "Run the tests of a Django project by testkit")

    def __init__(self) -> None:
        from testkit.core.options import add_arguments
        from testkit.nose2_plugin.options import ALL_GROUPS

        self._flags = add_arguments(self.session.argparse, ALL_GROUPS)
        self._typed: Mapping[str, Any] = {}
        self._has_settings = True
        self._names: list[str] = []
        self._runner: Nose2Runner | None = None

    # What nose2 calls, in this order

    def handleArgs(self, event: events.CommandLineArgsEvent) -> None:
        """Set Django up, if there is a project: before any of its tests is loaded."""
        from testkit.coverage.options import CoverageOptions
        from testkit.nose2_plugin import own
        from testkit.nose2_plugin.options import Nose2Options, find_settings, options_of, start_coverage

        if not self.registered:
            return  # nose2 calls this hook of every plugin that is loaded
        given = vars(event.args)
        self._names = list(event.args.testNames)
        with _errors_end_it():
            self._typed = typed = {name: given[name] for name in self._flags if name in given}
            self._has_settings = find_settings(options_of(self.session, typed)[Nose2Options].settings)
            if self._has_settings:
                self._typed = typed | own.coverage_asked(self.session, event.args)
            if self._has_settings or typed.get("with_cov"):
                start_coverage(options_of(self.session, self._typed)[CoverageOptions])
            if self._has_settings:
                self._prepare()

    def _prepare(self) -> None:
        import django

        from testkit.nose2_plugin import own

        django.setup()
        if own.only_collects(self.session):
            return  # nothing will run, so nothing has to be made
        from testkit.nose2_plugin.runner import runner_of

        self._runner = runner_of(self.session, self._typed)
        self._runner.prepare()

    def resultCreated(self, event: events.ResultCreatedEvent) -> None:
        """Take the place of nose2's result, and be the last plugin to hear that the run starts."""
        if self._runner is None and _is_django_there():
            with _errors_end_it():
                self._prepare()
        elif not self._has_settings:
            from testkit.nose2_plugin.options import refuse_without_settings

            with _errors_end_it():
                refuse_without_settings(self._typed)
        if self._runner is not None:
            event.result = self._runner.hooked
            plugins = self.session.hooks.startTestRun.plugins
            plugins.append(plugins.pop(plugins.index(self)))

    def startTestRun(self, event: events.StartTestRunEvent) -> None:
        """Let testkit run the suite, which by now is what other plugins have made of it."""
        runner, execute = self._runner, event.executeTests
        if runner is not None and event.result is runner.hooked:
            event.executeTests = lambda suite, result: runner.run_collected(self._names, suite, execute)


def _is_django_there() -> bool:
    """Return whether the tests have set Django up themselves, when they were loaded."""
    loaded = sys.modules.get("django.conf")
    return loaded is not None and bool(loaded.settings.configured)


@contextmanager
def _errors_end_it() -> Iterator[None]:
    """End the process with testkit's exit status, where nose2 would end it with 1 and a traceback."""
    try:
        yield
    except Exception as error:
        status = getattr(error, "status", 0)  # a TestkitError
        if not status and type(error).__name__ != "CommandError":
            traceback.print_exc()  # the project's settings or apps, as a rule: Python's own words say best where
        else:
            print(f"testkit: {error}", file=sys.stderr)
        raise SystemExit(int(status or 2)) from error
