"""Which code a run tests is told by CI systems, or by git, which also knows whether it is that of the commit."""

from __future__ import annotations

import subprocess

import pytest

from testkit.session.history.code import Code, code_of


@pytest.mark.parametrize(
    ("variables", "branch"),
    [
        ({"GITHUB_SHA": "abc", "GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "topic"}, "topic"),
        ({"GITHUB_SHA": "abc", "GITHUB_REF_NAME": "main", "GITHUB_HEAD_REF": ""}, "main"),
        ({"CI_COMMIT_SHA": "abc", "CI_COMMIT_REF_NAME": "main"}, "main"),
        ({"GIT_COMMIT": "abc", "BRANCH_NAME": "PR-12", "CHANGE_BRANCH": "topic"}, "topic"),
        ({"BUILD_SOURCEVERSION": "abc", "BUILD_SOURCEBRANCHNAME": "main"}, "main"),
        ({"CIRCLE_SHA1": "abc"}, ""),
    ],
)
def test_ci_systems_say_it(variables, branch, tmp_path):
    """The variables of each system give the commit and the branch, of a pull request its own."""
    assert code_of(variables, tmp_path, asks_git=False) == Code("abc", branch, True)


def test_git_says_it_when_it_is_asked(tmp_path):
    """A commit with nothing changed is clean; changed files and new modules are not, and reports lying about do not matter."""

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    assert code_of({}, tmp_path, asks_git=True) is None
    git("init", "--initial-branch=main")
    assert code_of({}, tmp_path, asks_git=True) is None
    (tmp_path / "a.py").write_text("a = 1\n")
    git("add", "a.py")
    git("commit", "--message=m")
    assert code_of({}, tmp_path, asks_git=False) is None
    found = code_of({}, tmp_path, asks_git=True)
    assert found is not None
    assert (len(found.commit), found.branch, found.is_clean) == (40, "main", True)
    (tmp_path / "xunit.xml").touch()
    assert code_of({}, tmp_path, asks_git=True) == found
    for name in ("b.py", "bü .py"):
        (tmp_path / name).touch()
        assert code_of({}, tmp_path, asks_git=True) == found._replace(is_clean=False)
        (tmp_path / name).unlink()
    (tmp_path / "a.py").write_text("a = 2\n")
    assert code_of({}, tmp_path, asks_git=True) == found._replace(is_clean=False)
    git("checkout", "--quiet", "--detach")
    assert code_of({}, tmp_path, asks_git=True).branch == ""
