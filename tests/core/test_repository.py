"""The repository of a project, and what a change is compared with."""

from __future__ import annotations

import os
import subprocess

import pytest

from testkit.core.repository import Repository, RepositoryError, base_in


def git(folder, *arguments):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", "-C", str(folder), *settings, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path):
    """A repository with two commits on main."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet")
    for number in (1, 2):
        (folder / f"{number}.py").write_text(f"{number}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", str(number))
    return folder


@pytest.mark.parametrize(
    ("environ", "base"),
    [
        ({}, ""),
        ({"GITHUB_BASE_REF": "main"}, "origin/main"),
        ({"GITHUB_BASE_REF": ""}, ""),  # as it is for a push
        ({"CI_MERGE_REQUEST_DIFF_BASE_SHA": "abc", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main"}, "abc"),
        ({"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "release/1"}, "origin/release/1"),
        ({"CHANGE_TARGET": "develop"}, "origin/develop"),
        ({"SYSTEM_PULLREQUEST_TARGETBRANCH": "refs/heads/main"}, "origin/main"),
        ({"BUILDKITE_PULL_REQUEST_BASE_BRANCH": "false"}, ""),
    ],
)
def test_each_service_names_what_a_change_goes_into(environ, base):
    """GitHub, GitLab, Jenkins, Azure and Buildkite name the target of a pull request in a variable of their own."""
    assert base_in(environ) == base


def test_the_files_of_a_change(origin):
    """What differs from the point of parting is changed, committed or not, and so is what git does not know yet."""
    git(origin, "checkout", "--quiet", "-b", "topic")
    (origin / "3.py").write_text("3\n")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "3")
    git(origin, "checkout", "--quiet", "main")
    (origin / "main.py").write_text("m\n")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "m")
    git(origin, "checkout", "--quiet", "topic")
    (origin / "1.py").write_text("other\n")
    (origin / "2.py").unlink()
    (origin / "ü b.py").write_text("new\n")
    (origin / "below").mkdir()
    repository = Repository(origin / "below")
    assert repository.usual_base() == "main"
    files = repository.files_changed_since(repository.merge_base("main"))
    assert sorted(path.relative_to(origin).as_posix() for path in files) == ["1.py", "3.py", "ü b.py"]


def test_a_commit_is_written_out(origin, tmp_path):
    """All files of the commit are written, whatever the folder in use is, and nothing of the repository changes."""
    (origin / "deep").mkdir()
    (origin / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (origin / "deep" / "run.sh").chmod(0o755)
    (origin / "deep" / "link").symlink_to("../1.py")
    (origin / ".gitattributes").write_text("deep/** export-ignore\n")
    git(origin, "add", ".")
    git(origin, "commit", "--quiet", "-m", "3")
    (origin / "1.py").write_text("changed\n")
    git(origin, "rm", "--quiet", "--cached", "2.py")
    before = git(origin, "status", "--porcelain")
    target = tmp_path / "written"
    target.mkdir()
    Repository(origin / "deep").write_out("HEAD", target)
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    assert files == {".gitattributes", "1.py", "2.py", "deep/run.sh", "deep/link"}
    assert (target / "deep" / "link").read_text() == "1\n"
    assert os.access(target / "deep" / "run.sh", os.X_OK)
    assert git(origin, "status", "--porcelain") == before
    with pytest.raises(RepositoryError, match="read-tree"):
        Repository(origin).write_out("nowhere", target)


def test_a_shallow_clone_says_what_it_lacks(origin, tmp_path):
    """A base that is not there is an error with what brings it; in a shallow clone that is its depth."""
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{origin}", str(clone))
    with pytest.raises(
        RepositoryError, match=r"no commit origin/release here; this clone is shallow: .*fetch-depth: 0"
    ):
        Repository(clone).merge_base("origin/release")
    git(clone, "fetch", "--quiet", "--unshallow")
    with pytest.raises(RepositoryError, match=r"`git fetch origin release:refs/remotes/origin/release` may bring it"):
        Repository(clone).merge_base("origin/release")
    with pytest.raises(RepositoryError, match="no branch, tag or commit"):
        Repository(clone).merge_base("--output=x")


def test_histories_without_a_commit_in_common_are_told(origin, tmp_path):
    """A clone whose depth ends before the point of parting has both ends, and says that it lacks the middle."""
    git(origin, "checkout", "--quiet", "--orphan", "topic")
    git(origin, "commit", "--quiet", "-m", "alone")
    with pytest.raises(RepositoryError, match="main and HEAD have no commit in common"):
        Repository(origin).merge_base("main")


def test_outside_of_a_repository_git_s_own_words_are_told(tmp_path):
    """A folder that is in no repository is an error."""
    with pytest.raises(RepositoryError, match="not a git repository"):
        Repository(tmp_path)
