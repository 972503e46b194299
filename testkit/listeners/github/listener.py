"""The listeners of GitHub Actions: one before the console, one after it, and one that tells the rest at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeGuard

from testkit.core.bus import PublishMeasured
from testkit.core.events import Fact, RunMeasured, RunStarted
from testkit.core.repository import Repository, RepositoryError, base_in
from testkit.listeners.github.annotations import Annotations
from testkit.listeners.github.commands import Annotation, Log
from testkit.summary import Failure, Gathered, summary

SECTION = "github"
MOST_BYTES = 1024 * 1024
"""The runner drops a summary that is longer (``CreateStepSummaryCommand.AttachmentSizeLimit``)."""
LEAST_BYTES = 1000
"""What a summary needs to say anything."""
LONGEST_UNFOLDED = 12
"""Lines of text on the console above which they are folded."""


class Folding:
    """Folds long tables of the console in the log; ``before`` is heard before the console, ``after`` after it."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def before(self, fact: Fact) -> None:
        """Begin a group, or see at the start that no command of a test is acted on."""
        if isinstance(fact, RunStarted):
            self._log.close()
        elif _is_long(fact):
            self._log.open()
            self._log.group(fact.section.replace("_", " ").capitalize())
            self._log.close()

    def after(self, fact: Fact) -> None:
        """End the group."""
        if _is_long(fact):
            self._log.open()
            self._log.end_group()
            self._log.close()


def _is_long(fact: Fact) -> TypeGuard[RunMeasured]:
    return isinstance(fact, RunMeasured) and str(fact.data.get("text", "")).count("\n") > LONGEST_UNFOLDED


class GithubListener:
    """Gathers the run, and tells GitHub of it when its status is known: annotations, summary and outputs.

    A part of a run (a shard) annotates what failed in it and notes that; the run that joins the parts annotates the rest, and
    writes the summary.
    """

    def __init__(
        self,
        log: Log,
        publish_measured: PublishMeasured,
        environ: Mapping[str, str],
        *,
        is_part: bool = False,
        stays_closed: bool = False,
        again: str = "",
    ) -> None:
        """Listen to one run.

        Args:
            log: of the step.
            publish_measured: is called once by a part of a run, with the section's name and its data.
            environ: what the service has put into the environment.
            is_part: whether this run is one of several that are joined.
            stays_closed: whether somebody else prints what tests say after the run is over.
            again: the command that runs the failed tests again, where that takes no names of ours.
        """
        self._log, self._publish_measured, self._environ = log, publish_measured, environ
        self._is_part, self._stays_closed, self._again = is_part, stays_closed, again
        self._run = Gathered()
        self._told: set[str] = set()

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, RunMeasured) and fact.section == SECTION:
            self._told |= set(fact.data["annotated"])
            return
        self._run(fact)
        if isinstance(fact, RunMeasured) and fact.section == "status":
            self._conclude(int(fact.data["status"]), str(fact.data["reason"]))

    def _conclude(self, status: int, reason: str) -> None:
        folder = Path(self._run.started.directory or os.getcwd())
        root = Path(self._environ.get("GITHUB_WORKSPACE") or folder)
        changed = _changed_files(folder, self._environ) if self._run.failures or self._run.flaky else frozenset()
        annotations = Annotations(self._run, folder, root, changed, self._told, is_part=self._is_part)
        self._log.open()
        self._annotate(annotations, reason)
        try:
            if not self._is_part:
                self._write_summary(status, reason, annotations.is_changed)
            self._write_outputs()
        except OSError as error:
            self._log.annotate(Annotation("warning", "testkit", f"the summary cannot be written: {error}"))
        if self._stays_closed:
            self._log.close()
        if self._is_part:
            self._publish_measured(SECTION, {"annotated": annotations.names})

    def _annotate(self, annotations: Annotations, reason: str) -> None:
        made = annotations.make(reason)
        if not made:
            return
        self._log.group("Annotations")
        for annotation in made:
            self._log.annotate(annotation)
        self._log.end_group()

    def _write_summary(self, status: int, reason: str, is_first: Callable[[Failure], bool]) -> None:
        place = self._environ.get("GITHUB_STEP_SUMMARY")
        if not place:
            return
        taken = os.path.getsize(place) if os.path.exists(place) else 0
        room = MOST_BYTES - taken - 2
        if room < LEAST_BYTES:
            full = (
                "this run is not in the summary of the step, in which others have taken all the room that GitHub gives"
            )
            self._log.annotate(Annotation("warning", "Tests", full))
            return
        text = summary(self._run, status, reason, limit=room, is_first=is_first, again=self._again)
        with open(place, "ab") as file:
            file.write((b"\n" if taken else b"") + text.encode("utf-8", "backslashreplace"))

    def _write_outputs(self) -> None:
        place = self._environ.get("GITHUB_OUTPUT")
        if not place:
            return
        percent = self._run.measured.get("coverage", {}).get("percent")
        outputs = {
            "tests": str(self._run.tests),
            "failed": str(self._run.failed),
            "flaky": str(len(self._run.flaky)),
            "coverage": "" if percent is None else f"{percent:.2f}",
        }
        with open(place, "a", encoding="utf-8") as file:
            file.write("".join(f"{name}={value}\n" for name, value in outputs.items()))


def _changed_files(folder: Path, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the files that the change touches, by their paths without links; none where git cannot tell."""
    try:
        repository = Repository(folder)
        base = base_in(environ) or repository.usual_base()
        files = repository.files_changed_since(repository.merge_base(base)) if base else []
    except RepositoryError:
        return frozenset()  # as in the shallow clones that are the default: then failures stand in their order
    return frozenset(map(os.path.realpath, files))
