"""The git repository of a project: what changed since the base that a CI service names."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from testkit.core.errors import TestkitError

_TARGETS = (
    ("GITHUB_BASE_REF", "origin/"),
    ("CI_MERGE_REQUEST_DIFF_BASE_SHA", ""),
    ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "origin/"),
    ("CHANGE_TARGET", "origin/"),  # Jenkins
    ("SYSTEM_PULLREQUEST_TARGETBRANCH", "origin/"),  # Azure Pipelines
    ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", "origin/"),
    ("BITBUCKET_PR_DESTINATION_BRANCH", "origin/"),
)
"""Where each service says what a change is to be merged into, and what that is called in a clone."""
_USUAL = ("origin/HEAD", "origin/main", "origin/master", "main", "master")


class RepositoryError(TestkitError):
    """There is no repository, or it lacks what it was asked for."""


class Repository:
    """The repository that a folder lies in."""

    def __init__(self, folder: Path) -> None:
        """Find it.

        Raises:
            RepositoryError: there is none, or git is missing or refuses it.
        """
        self._folder = folder
        self.root = Path(self.git("rev-parse", "--show-toplevel").rstrip("\n"))

    def git(self, *arguments: str, **environment: str) -> str:
        """Return what git says, its line ends as they are.

        Args:
            arguments: of the command.
            environment: variables for it beside those of this process.

        Raises:
            RepositoryError: git is missing, or fails.
        """
        command = ["git", "-C", str(self._folder), *arguments]
        try:
            # In a session of its own, where Ctrl-C does not stop it from cleaning up.
            done = subprocess.run(
                command,
                env={**os.environ, **environment},
                capture_output=True,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                check=False,
            )
        except OSError as error:
            raise RepositoryError(f"git cannot be run: {error.strerror}") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise RepositoryError(f"git {arguments[0]}: {said or f'exit status {done.returncode}'}")
        return os.fsdecode(done.stdout)

    def commit(self, revision: str) -> str:
        """Return the commit that ``revision`` names; empty if there is none here."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
        except RepositoryError:
            return ""

    def has(self, revision: str) -> bool:
        """Return whether there is such a commit here."""
        return bool(self.commit(revision))

    def merge_base(self, revision: str) -> str:
        """Return the commit at which ``revision`` and HEAD parted.

        Raises:
            RepositoryError: it is not here, with what brings it.
        """
        if revision.startswith("-"):
            raise RepositoryError(f"{revision} is no branch, tag or commit")
        if not self.has(revision):
            raise RepositoryError(f"there is no commit {revision} here{self.why_incomplete or _fetching(revision)}")
        try:
            return self.git("merge-base", revision, "HEAD").strip()
        except RepositoryError as error:
            raise RepositoryError(f"{revision} and HEAD have no commit in common{self.why_incomplete}") from error

    @property
    def why_incomplete(self) -> str:
        """Why something may not be here, and what brings it, to go on with in a message; empty if all is here."""
        if self.git("rev-parse", "--is-shallow-repository").strip() != "true":
            return ""
        return (
            "; this clone is shallow: fetch the whole history (actions/checkout: `fetch-depth: 0`; GitLab: `GIT_DEPTH: 0`; "
            "else `git fetch --unshallow`)"
        )

    def write_out(self, commit: str, folder: Path) -> None:
        """Write the files of ``commit`` into ``folder``; the repository, its index and its worktrees stay as they are.

        Raises:
            RepositoryError: git cannot do it.
        """
        with tempfile.TemporaryDirectory(prefix="testkit-index-") as place:
            index = str(Path(place, "index"))
            self.git("read-tree", commit, GIT_INDEX_FILE=index)
            self.git(
                "-C", str(self.root), "checkout-index", "--all", f"--prefix={folder}{os.sep}", GIT_INDEX_FILE=index
            )

    def files_changed_since(self, commit: str) -> list[Path]:
        """Return the files that differ from those of ``commit``, and those that are new, by their absolute paths."""
        names = self.git("diff", "--name-only", "--no-relative", "--diff-filter=d", "-z", commit, "--").split("\0")
        return [self.root / name for name in (*names, *self.untracked()) if name]

    def untracked(self) -> list[str]:
        """Return the files that git does not know yet, and is not told to ignore, from the root of the repository."""
        listed = self.git("-C", str(self.root), "ls-files", "--others", "--exclude-standard", "--full-name", "-z")
        return [name for name in listed.split("\0") if name]

    def usual_base(self) -> str:
        """Return what a change would be merged into where nobody says; empty if there is no such branch."""
        return next(filter(self.has, _USUAL), "")


def _fetching(revision: str) -> str:
    remote, slash, branch = revision.partition("/")
    fetch = f"git fetch {remote} {branch}:refs/remotes/{revision}" if slash else "git fetch --all"
    return f": `{fetch}` may bring it"


def base_in(environ: Mapping[str, str]) -> str:
    """Return what the CI service says a change is to be merged into; empty if it does not say."""
    for variable, prefix in _TARGETS:
        target = environ.get(variable, "").removeprefix("refs/heads/")
        if target and target != "false":
            return f"{prefix}{target}"
    return ""
