"""What the parts of the plugin know of one run of pytest, in whatever process of it they are."""

from __future__ import annotations

import shutil
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testkit.pytest_plugin import command_line

if TYPE_CHECKING:
    from testkit.core.options import Options


class State:
    """One run of pytest; with pytest-xdist, each of its processes has one, and the workers' say what the first one is."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        given: dict[str, Any] = getattr(config, "workerinput", {})
        told: dict[str, Any] = given.get("testkit", {})
        self.is_whole = True
        """Whether no plugin has left out tests that were collected here."""
        self.worker: str = given.get("workerid", "")
        """The name of this worker; empty in the process of the run."""
        self.since: float = told.get("since", time.time())
        """When the run began, as a Unix time."""
        self.is_told: bool = told.get("is_told", False)
        """Whether there are listeners, to which the tests' processes have to tell what happens."""
        self._folder: str = told.get("folder", "")
        self.notices: list[str] = []
        """What the user is to be told in the end."""
        self.lines: list[str] = []
        """Facts that go out with the next report, as lines of a journal."""

    @cached_property
    def options(self) -> Options:
        """The options of the run."""
        return command_line.resolve(self._config)

    @property
    def has_listeners(self) -> bool:
        """Whether the options name anything that listens to the run."""
        from testkit.coverage.routes.options import RouteOptions
        from testkit.listeners.github import GithubOptions
        from testkit.listeners.history import HistoryOptions
        from testkit.listeners.xunit import XunitOptions
        from testkit.queries.options import QueryOptions
        from testkit.selection.shards import ShardOptions
        from testkit.session import formats
        from testkit.session.options import RunOptions

        options, run = self.options, self.options[RunOptions]
        return bool(
            options[XunitOptions].with_xunit
            or any(formats.wanted(options))
            or options[GithubOptions].github == "on"
            or options[HistoryOptions].with_history
            or run.pytest_journal
            or run.listeners
            or options[ShardOptions].shard
            or options[QueryOptions].has_budgets
            or options[RouteOptions].has_routes
            or self.takes_screenshots
        )

    @property
    def takes_screenshots(self) -> bool:
        """Whether tests with screenshots run."""
        from testkit.screenshots.options import ScreenshotOptions

        return self.options[ScreenshotOptions].with_needle

    @property
    def folder(self) -> Path:
        """A folder that all processes of the run see."""
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="testkit-")
            self._config.add_cleanup(lambda: shutil.rmtree(self._folder, ignore_errors=True))
        return Path(self._folder)

    def for_worker(self) -> dict[str, Any]:
        """Return what a worker has to know, as plain data."""
        return {"since": self.since, "is_told": self.is_told, "folder": str(self.folder)}

    def notice(self, text: str) -> None:
        """Tell the user ``text``, once, when the tests are over."""
        if text not in self.notices:
            self.notices.append(text)
