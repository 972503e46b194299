"""Snapshots of queries: their files, what a change of them says, and the real thing in a real little project."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from testkit.queries.recorder import Query
from testkit.queries.snapshots import UPDATE, compare_with_snapshot, read_snapshot, snapshot_of, snapshot_path


@pytest.fixture(autouse=True)
def no_update(monkeypatch):
    monkeypatch.delenv(UPDATE, raising=False)


def query(sql, alias="default", vendor="sqlite", seconds=0.1, line=1):
    return Query(sql, (), alias, vendor, seconds, "/project/views.py", line, "view")


BOOKS = query("SELECT * FROM book WHERE id IN (%s, %s)")
AUTHOR = query("SELECT * FROM author\n  WHERE id = %s")


def test_the_file_lies_beside_the_tests_module(tmp_path):
    path = snapshot_path(tmp_path / "tests" / "test_books.py", "BookTests.test_list", "page 2")
    assert path.parent == tmp_path / "tests" / "query_snapshots" / "test_books"
    assert re.fullmatch(r"BookTests\.test_list\.page-2-\w{8}\.txt", path.name)
    assert snapshot_path("test_books.py", "BookTests.test_list").name == "BookTests.test_list.txt"


@pytest.mark.parametrize(
    ("one", "other"),
    [("page/1", "page 1"), ("é", "è"), ("../a", "..-a"), ("x" * 300, "x" * 299), ("x" * 300 + "y", "x" * 301)],
)
def test_names_that_clean_up_alike_do_not_share_a_file(tmp_path, one, other):
    """Nor does any name leave the folder, or get too long for a file system."""
    paths = {snapshot_path(tmp_path / "test_x.py", "Tests.test", name) for name in (one, other)}
    assert len(paths) == 2
    for path in paths:
        assert path.resolve().parent == (tmp_path / "query_snapshots" / "test_x").resolve()
        assert len(path.name) < 200


def test_a_snapshot_has_neither_times_nor_lines_of_code(tmp_path):
    again = [query(old.sql, seconds=9.9, line=99) for old in (BOOKS, AUTHOR)]
    assert snapshot_of([BOOKS, AUTHOR]) == snapshot_of(again)
    assert snapshot_of([BOOKS, AUTHOR]).lines == [
        "SELECT * FROM book WHERE id IN (…)",
        "SELECT * FROM author WHERE id = %s",
    ]


def test_queries_on_another_database_say_so():
    assert snapshot_of([query("SELECT 1", "other")]).lines == ["other: SELECT 1"]


def test_a_missing_snapshot_fails_with_the_command_that_records_it(tmp_path, monkeypatch):
    """On every machine: a file that is made where nobody commits it would be a test that checks nothing."""
    monkeypatch.chdir(tmp_path)
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    for ci in ("true", ""):
        monkeypatch.setenv("CI", ci)
        with pytest.raises(AssertionError) as caught:
            compare_with_snapshot([BOOKS], path, command="python manage.py test x")
        (text,) = caught.value.args
        assert text.startswith(
            "Expected the queries of query_snapshots/test_x/Tests.test.txt, which is missing; 1 ran.\n"
        )
        assert "SELECT * FROM book WHERE id IN (…)" in text
        assert text.endswith(f"    {UPDATE}=1 python manage.py test x")
        assert not path.parent.exists()


def test_update_writes_and_then_it_passes(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([BOOKS, AUTHOR], path, command="x")
    monkeypatch.setenv(UPDATE, "0")
    compare_with_snapshot([BOOKS, AUTHOR], path, command="x")
    assert path.read_text(encoding="utf-8") == (
        "# Queries in their order, recorded by testkit on sqlite\n"
        "SELECT * FROM book WHERE id IN (…)\n"
        "SELECT * FROM author WHERE id = %s\n"
    )
    assert [file.name for file in path.parent.iterdir()] == ["Tests.test.txt"]


def test_what_is_as_recorded_is_not_written_again(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([BOOKS], path, command="x")
    os.utime(path, (1, 1))
    compare_with_snapshot([BOOKS], path, command="x")
    assert path.stat().st_mtime == 1


def test_no_queries_are_a_snapshot_too(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([], path, command="x")
    monkeypatch.delenv(UPDATE)
    compare_with_snapshot([], path, command="x")
    with pytest.raises(AssertionError, match=r"\(0 recorded, 1 ran\)"):
        compare_with_snapshot([BOOKS], path, command="x")


def test_a_change_is_shown_as_a_diff_with_the_lines_of_code(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([BOOKS, AUTHOR], path, command="x")
    before = path.read_bytes()
    monkeypatch.delenv(UPDATE)
    with pytest.raises(AssertionError) as caught:
        compare_with_snapshot([BOOKS, AUTHOR, AUTHOR], path, command="python manage.py test x")
    (text,) = caught.value.args
    assert re.match(
        r"Expected the queries of .*Tests\.test\.txt, which are not those that ran \(2 recorded, 3 ran\)\.\n", text
    )
    assert "--- recorded\n+++ now\n" in text
    assert (
        "\n SELECT * FROM book WHERE id IN (…)\n SELECT * FROM author WHERE id = %s\n+SELECT * FROM author WHERE id = %s\n"
        in text
    )
    assert "/project/views.py:1 in view" in text
    assert text.endswith(f"    {UPDATE}=1 python manage.py test x")
    assert path.read_bytes() == before


def test_the_order_is_part_of_it(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([BOOKS, AUTHOR], path, command="x")
    monkeypatch.delenv(UPDATE)
    with pytest.raises(AssertionError, match="are not those that ran"):
        compare_with_snapshot([AUTHOR, BOOKS], path, command="x")


def test_another_kind_of_database_is_named_as_the_likely_cause(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([BOOKS], path, command="x")
    monkeypatch.delenv(UPDATE)
    with pytest.raises(AssertionError, match="They were recorded on sqlite; this run is on mysql"):
        compare_with_snapshot([query("SELECT * FROM `book`", vendor="mysql")], path, command="x")


def test_line_ends_of_windows_do_not_matter(tmp_path):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"# Queries in their order, recorded by testkit on sqlite\r\nSELECT 1\r\n")
    compare_with_snapshot([query("SELECT 1")], path, command="x")


def test_a_snapshot_of_what_no_utf8_can_spell_is_stable(tmp_path, monkeypatch):
    path = snapshot_path(tmp_path / "test_x.py", "Tests.test")
    odd = query("SELECT 'a\udc80\x1b\x85\u2028b'")
    monkeypatch.setenv(UPDATE, "1")
    compare_with_snapshot([odd], path, command="x")
    monkeypatch.delenv(UPDATE)
    compare_with_snapshot([odd], path, command="x")
    assert len(read_snapshot(path).lines) == 1


SNAPSHOT_TESTS = """
    from django.test import TestCase
    from shop.models import Item
    from testkit.queries.assertions import QueryAssertionsMixin

    class {name}(QueryAssertionsMixin, TestCase):
        def test_count(self):
            with self.assertNumQueriesSnapshot():
                Item.objects.count()

        def test_two(self):
            with self.assertNumQueriesSnapshot("first"):
                Item.objects.create(name="pen")
            with self.assertNumQueriesSnapshot("second"):
                list(Item.objects.all())

        def test_no_queries(self):
            with self.assertNumQueriesSnapshot():
                pass
"""


def tree_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("front", ["stock", "testkit"])
def test_a_project_records_compares_and_accepts(project, front):
    """Serial and parallel runs write the same files; a change fails, shows its line and the command, and that works."""
    for number in range(4):
        project.tests(SNAPSHOT_TESTS.format(name=f"Tests{number}"), module=f"test_{number}")
    folder = project.folder / "shop" / "tests" / "query_snapshots"

    missing = project.run(front=front)
    assert missing.returncode == 1
    assert "which is missing" in missing.stdout + missing.stderr
    assert not folder.exists()

    assert project.run(front=front, **{UPDATE: "1"}).returncode == 0
    serial = tree_of(folder)
    assert sorted(serial) == [
        f"test_{number}/Tests{number}.{test}.txt"
        for number in range(4)
        for test in ("test_count", "test_no_queries", "test_two.first", "test_two.second")
    ]
    for path in folder.rglob("*.txt"):
        path.unlink()
    result = project.run("--parallel=2", front=front, **{UPDATE: "1"})
    assert result.returncode == 0, result.stderr
    assert tree_of(folder) == serial
    assert project.run("--parallel=2", front=front).returncode == 0

    changed = SNAPSHOT_TESTS.format(name="Tests0").replace("Item.objects.count()", "Item.objects.exists()")
    project.tests(changed, module="test_0")
    result = project.run("shop.tests.test_0", front=front)
    text = result.stdout + result.stderr
    assert result.returncode == 1
    assert '-SELECT COUNT(*) AS "__count" FROM "shop_item"' in text
    assert re.search(r'^\+SELECT .* AS "a" FROM "shop_item" LIMIT …$', text, re.MULTILINE)
    assert "shop/tests/test_0.py:8 in Tests0.test_count" in text
    program, test_id = re.search(rf"{UPDATE}=1 python (.+) (shop\S+)", text).groups()
    assert program == ("manage.py test" if front == "stock" else "-m testkit")
    assert test_id == "shop.tests.test_0.Tests0.test_count"
    assert project.run(test_id, front=front, **{UPDATE: "1"}).returncode == 0
    assert project.run(front=front).returncode == 0
    assert tree_of(folder)["test_1/Tests1.test_count.txt"] == serial["test_1/Tests1.test_count.txt"]
