"""Which code a run tests: the commit and the branch, as a CI system or git tells them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

_COMMITS = (
    "GITHUB_SHA",
    "CI_COMMIT_SHA",  # GitLab
    "GIT_COMMIT",  # Jenkins
    "BUILD_SOURCEVERSION",  # Azure Pipelines
    "CIRCLE_SHA1",
    "BUILDKITE_COMMIT",
    "BITBUCKET_COMMIT",
)
_BRANCHES = (
    "GITHUB_HEAD_REF",  # of a pull request, for which GITHUB_REF_NAME is 12/merge
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
    "CHANGE_BRANCH",  # Jenkins: of a pull request, for which BRANCH_NAME is PR-12
    "BRANCH_NAME",
    "GIT_BRANCH",
    "BUILD_SOURCEBRANCHNAME",
    "CIRCLE_BRANCH",
    "BUILDKITE_BRANCH",
    "BITBUCKET_BRANCH",
)


class Code(NamedTuple):
    """The code of a run. ``is_clean``: it is that of the commit, as far as git or the CI system knows."""

    commit: str
    branch: str
    is_clean: bool

    def to_plain(self) -> dict[str, Any]:
        """Return it as the data of the section ``source``."""
        return {"commit": self.commit, "branch": self.branch, "clean": self.is_clean}


def code_of(environ: Mapping[str, str], folder: Path, *, asks_git: bool) -> Code | None:
    """Return which code ``folder`` has; None if that cannot be told.

    Args:
        environ: where CI systems say it; they check out what they say.
        folder: somewhere in the working tree.
        asks_git: whether git is asked where no CI system tells, which takes some hundredths of a second.
    """
    commit = _first(environ, _COMMITS)
    if commit:
        return Code(commit, _first(environ, _BRANCHES), True)
    return _code_by_git(folder) if asks_git else None


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _code_by_git(folder: Path) -> Code | None:
    from testkit.core.repository import Repository, RepositoryError  # here, as most runs ask nobody

    try:
        said = Repository(folder).git("status", "--porcelain=v2", "--branch", "--untracked-files=all")
    except RepositoryError:
        return None
    lines = said.splitlines()
    told = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit, branch = told.get("branch.oid", ""), told.get("branch.head", "")
    if not commit or commit.startswith("("):
        return None  # nothing was committed yet
    # What lies about beside the code, such as reports of a run, changes nothing; a module may.
    changed = [
        line for line in lines if not line.startswith("#") and (line[0] != "?" or line.endswith((".py", '.py"')))
    ]
    return Code(commit, "" if branch.startswith("(") else branch, not changed)
