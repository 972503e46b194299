"""``query-budgets.toml``: what is read, what is refused with its line, and what an edit leaves as it was."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from testkit.core.errors import OptionError
from testkit.queries.budgets.costs import Cost
from testkit.queries.budgets.file import Budget, lower, read, record
from tests.projects import ROOT

FULL = """\
# Kept.
ignore_tables = ["django_content_type"]   # cached by process

[budgets]
"GET /books/<int:pk>/" = 4  # a list
"POST /books/" = { default = 3, reason = "two locks" }

# The slow ones
"GET /search/" = { max = 9, time_ms = 50, reason = "full text" }
'GET /^old/(?P<year>[0-9]{4})/$' = 2
"""


def cost(queries: int, seconds: float = 0.0, **aliases: int) -> Cost:
    return Cost(1, queries, aliases or ({"default": queries} if queries else {}), seconds)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "query-budgets.toml"


def test_no_file_has_no_budgets(path):
    assert read(path).of == {}


def test_all_forms_are_read(path):
    path.write_text(FULL)
    budgets = read(path)
    assert budgets.ignored == {"django_content_type"}
    assert budgets.of == {
        "GET /books/<int:pk>/": Budget(most=4, line=5),
        "POST /books/": Budget(aliases={"default": 3}, reason="two locks", line=6),
        "GET /search/": Budget(most=9, milliseconds=50, reason="full text", line=9),
        "GET /^old/(?P<year>[0-9]{4})/$": Budget(most=2, line=10),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[budgets]\n'GET /' = 4 4", ["line 2"]),
        ("x = 1", ["line 1", "'x' is no setting", "there are budgets, ignore_tables"]),
        ("ignore_table = []", ["line 1", "did you mean 'ignore_tables'?"]),
        ("\n'GET /books/' = 4", ["line 2", 'put it below [budgets]: "GET /books/" = …']),
        ("ignore_tables = 'x'", ["line 1", "a list of names"]),
        ("budgets = 1", ["line 1", "[budgets] is a table"]),
        ("[budgets]\n\nbooks = 4", ["line 3", "'books' is no endpoint", 'give method and route, "GET /']),
        ("[budgets]\n'GET /' = '4'", ["line 2", "'4' is no budget: give a whole number, or a table"]),
        ("[budgets]\n'GET /' = true", ["line 2", "True is no budget"]),
        ("[budgets]\n'GET /' = -1", ["line 2", "-1 is no budget"]),
        ("[budgets]\n'GET /' = {}", ["line 2", "{} is no budget"]),
        ("[budgets]\n'GET /' = { max = 1.5 }", ["line 2", "max of 'GET /' is 1.5: give a whole number"]),
        ("[budgets]\n'GET /' = { max = 1, time_ms = 0 }", ["line 2", "time_ms", "give milliseconds"]),
        ("[budgets]\n'GET /' = { max = 1, reason = 1 }", ["line 2", "reason", "give text"]),
    ],
)
def test_mistakes_are_refused_with_their_line(path, text, words):
    path.write_text(text)
    with pytest.raises(OptionError) as refused:
        read(path)
    for word in (str(path), *words):
        assert word in str(refused.value)


def test_a_file_that_is_no_text_is_refused(path):
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match="cannot be read"):
        read(path)


@pytest.mark.parametrize(
    ("budget", "spent", "words"),
    [
        (Budget(most=4), cost(4), ""),
        (Budget(most=4), cost(5), "5 queries; its budget is 4"),
        (Budget(most=0), cost(1), "1 query; its budget is 0"),
        (Budget(most=4), cost(5, default=4, other=1), "5 queries; its budget is 4"),
        (Budget(aliases={"default": 4}), cost(4), ""),
        (Budget(aliases={"default": 4}), cost(5), '5 queries in "default"; its budget there is 4'),
        (Budget(aliases={"default": 4}), cost(5, default=4, other=1), '1 query in "other"; its budget there is 0'),
        (Budget(reason="whatever it takes"), cost(50), ""),
    ],
)
def test_a_budget_is_broken_by_one_query_more(budget, spent, words):
    assert budget.broken_by(spent) == words


def test_what_an_endpoint_may_make_in_all_is_known(path):
    """The number of a budget, or the sum of those for each database; nothing for one that has none, or time alone."""
    path.write_text('[budgets]\n"GET /a/" = 4\n"GET /b/" = { default = 2, other = 3 }\n"GET /c/" = { time_ms = 5 }\n')
    budgets = read(path)
    assert [budgets.most_of(f"GET /{name}/") for name in "abcd"] == [4, 5, None, None]


def test_time_is_advice():
    """A slow request breaks no budget."""
    budget = Budget(most=4, milliseconds=50)
    assert budget.broken_by(cost(4, seconds=0.06)) == ""
    assert budget.is_slow_for(cost(4, seconds=0.06))
    assert not budget.is_slow_for(cost(4, seconds=0.04))


COSTS = {
    "GET /b/": cost(2),
    "POST /a/": cost(3, default=2, other=1),
    "GET /a/": cost(0),
}


def test_a_first_record_is_sorted_and_can_be_read(path):
    assert record(path, COSTS) == ["GET /a/", "POST /a/", "GET /b/"]
    lines = path.read_text().splitlines()
    assert lines[lines.index("[budgets]") + 1 :] == [
        '"GET /a/" = 0',
        '"POST /a/" = {default = 2, other = 1}',
        '"GET /b/" = 2',
    ]
    assert all(not read(path).of[key].broken_by(spent) for key, spent in COSTS.items())


def test_a_record_changes_no_budget(path):
    """What has a budget keeps it, be it too low or too high; the new ones follow."""
    path.write_text(FULL)
    assert record(path, {"GET /search/": cost(90), "GET /new/": cost(1)}) == ["GET /new/"]
    assert path.read_text() == FULL + '"GET /new/" = 1\n'
    assert record(path, {"GET /new/": cost(7)}) == []


def test_lowering_keeps_comments_and_order(path):
    path.write_text(FULL)
    spent = {"GET /books/<int:pk>/": cost(3), "POST /books/": cost(1), "GET /search/": cost(9)}
    assert lower(path, spent) == ["GET /books/<int:pk>/", "POST /books/"]
    expected = FULL.replace("= 4  # a list", "= 3  # a list").replace("default = 3", "default = 1")
    assert path.read_text() == expected


def test_nothing_is_raised(path):
    path.write_text(FULL)
    assert lower(path, {"GET /search/": cost(10), "POST /books/": cost(5, default=3, other=2)}) == []
    assert path.read_text() == FULL


def test_what_was_not_requested_is_not_lowered(path):
    path.write_text(FULL)
    assert lower(path, {}) == []


ODD_KEYS = [
    "M-SEARCH /items/",
    "PURGE_1 /items/",
    "GET /sp  two/$",
    "GET /(?x)^v/\n  [a-z]+ # words\n$",
    r"GET /d/(?P<pk>\d+)/$",
    'GET /"quoted"/',
    "GET /é/",
    "GET /'/",
]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_what_is_recorded_can_be_read(path, key):
    """Whatever a method or a route looks like."""
    record(path, {"GET /": cost(1), key: cost(2)})
    budget = read(path).of[key]
    assert budget.most == 2
    assert path.read_text().splitlines()[budget.line - 1].endswith("= 2")


@pytest.mark.parametrize(
    "text",
    [
        '[budgets]\n"GET /items/<int:pk>/" = 5\n"GET /items/" = 0\n',
        "[budgets]\n'GET /items/<int:pk>/' = 5\n'GET /items/' = 0\n",
        'budgets."GET /items/<int:pk>/" = 5\nbudgets . "GET /items/".max = 0\n\n',
        '[budgets."GET /items/<int:pk>/"]\nmax = 5\n[budgets."GET /items/"]\nmax = 0\n',
    ],
)
def test_a_budget_knows_its_line(path, text):
    """Another one whose key begins alike is not taken for it."""
    path.write_text(text)
    (number,) = (
        n for n, line in enumerate(text.splitlines(), 1) if re.search("\"GET /items/[\"']|'GET /items/'", line)
    )
    assert read(path).of["GET /items/"].line == number


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_edit_keeps_line_ends_and_marks(path, mark, end):
    """Editors of Windows write other line ends, and a mark at the beginning."""
    path.write_bytes(mark + FULL.replace("\n", end).encode())
    record(path, {"GET /new/": cost(1)})
    assert path.read_bytes() == mark + (FULL + '"GET /new/" = 1\n').replace("\n", end).encode()


def test_an_edit_keeps_the_mode_and_a_link(path, tmp_path):
    target = tmp_path / "ci" / "budgets.toml"
    target.parent.mkdir()
    target.write_text(FULL)
    target.chmod(0o640)
    path.symlink_to(target)
    lower(path, {"GET /books/<int:pk>/": cost(3)})
    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert read(path).of["GET /books/<int:pk>/"].most == 3


def test_processes_that_record_at_once_lose_nothing(path):
    """Each adds a hundred budgets, one by one."""
    code = (
        "import pathlib, sys\n"
        "from testkit.queries.budgets.costs import Cost\n"
        "from testkit.queries.budgets.file import record\n"
        "for number in range(100): record(pathlib.Path(sys.argv[1]), {f'GET /{sys.argv[2]}/{number}/': Cost(1, 1, {}, 0.0)})"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, path, name], cwd=ROOT) for name in "ab"]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    assert len(read(path).of) == 200
