"""The file of untested routes is read strictly, and edited so that what people wrote stays."""

from __future__ import annotations

import pytest

from testkit.core.errors import OptionError
from testkit.coverage.routes import baseline

FILE = """\
# Ours.
ignore = [
    "/health/",  # by the balancer
    "GET /legacy/*",
]

[untested]
"GET /a/" = "needs the sandbox"  # until June
# The next one is old.
"ANY /b/<int:pk>/" = ""
'POST /c/(?P<w>\\d+)$' = ''
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "untested-routes.toml"


def test_what_is_in_it(path):
    path.write_text(FILE)
    found = baseline.read(path)
    assert found.untested == {"GET /a/": "needs the sandbox", "ANY /b/<int:pk>/": "", r"POST /c/(?P<w>\d+)$": ""}
    assert [
        found.ignores(key)
        for key in ("GET /health/", "POST /health/", "GET /legacy/x/y/", "POST /legacy/x/", "GET /a/", "GET /health/x/")
    ] == [True, True, True, False, False, False]


def test_a_pattern_with_brackets_is_also_a_route(path):
    """What is written in the file as the report has it is meant as it is written."""
    path.write_text('ignore = ["/old/(?P<slug>[a-z]+)/$"]')
    assert baseline.read(path).ignores("GET /old/(?P<slug>[a-z]+)/$")


def test_no_file_allows_nothing(path):
    found = baseline.read(path)
    assert (found.untested, found.exists) == ({}, False)
    assert not found.ignores("GET /a/")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ignored = []", "line 1: 'ignored' is no setting: did you mean 'ignore'?"),
        ('"GET /a/" = ""', "line 1: 'GET /a/' is no setting: put it below [untested]"),
        ("ignore = 'x'", "line 1: ignore is a list of patterns"),
        ("untested = ['GET /a/']", "line 1: [untested] is a table"),
        ('[untested]\n"/a/" = ""', "line 2: '/a/' is no endpoint: give method and route"),
        ('[untested]\n"GET /a/" = 3', "line 2: 3 is no reason: give text"),
        ("[untested", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text, problem, path):
    path.write_text(text)
    with pytest.raises(OptionError) as caught:
        baseline.read(path)
    assert problem in str(caught.value)


def test_a_file_is_begun_in_the_order_of_routes(path):
    baseline.begin(path, ["POST /b/", "GET /c/", "GET /b/", 'GET /"quoted"/'])
    text = path.read_text()
    assert text.startswith("# Routes that no test asks for yet")
    assert text.endswith('[untested]\n"GET /\\"quoted\\"/" = ""\n"GET /b/" = ""\n"POST /b/" = ""\n"GET /c/" = ""\n')
    assert list(baseline.read(path).untested) == ['GET /"quoted"/', "GET /b/", "POST /b/", "GET /c/"]


def test_what_is_tested_leaves_and_the_rest_stays_as_it_is(path):
    """Comments, order, quotes and the ends of lines of what stays are untouched."""
    path.write_bytes(FILE.replace("\n", "\r\n").encode())
    baseline.shrink(path, ["ANY /b/<int:pk>/"])
    assert path.read_bytes().decode() == FILE.replace('"ANY /b/<int:pk>/" = ""\n', "").replace("\n", "\r\n")


def test_nothing_to_take_out_writes_nothing(path):
    path.write_text(FILE)
    path.chmod(0o444)
    baseline.shrink(path, [])
    assert path.read_text() == FILE
