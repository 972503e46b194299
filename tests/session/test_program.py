"""What is typed to run tests again."""

from __future__ import annotations

import pytest

from testkit.session.program import program_of


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["manage.py", "test", "shop"], "python manage.py test"),
        (["./manage.py", "test", "--settings=ci.settings"], "python manage.py test --settings=ci.settings"),
        (["manage.py", "test", "--settings", "ci"], "python manage.py test --settings=ci"),
        (["runtests.py"], "python runtests.py"),
        (["tools/tests.py"], "python tools/tests.py"),
        (["/elsewhere/tests.py"], "python tests.py"),
        (["/lib/python3.11/site-packages/testkit/__main__.py", "test"], "python -m testkit"),
        (["/usr/bin/testkit", "test"], "python -m testkit"),
        (["nose2", "--with-html"], "python -m nose2"),
        (["manage.py", "test", "--settings=a b"], "python manage.py test"),
        ([], "python -m testkit"),
    ],
)
def test_the_program_is_what_was_typed(argv, program):
    """The script or module that began the run, with the settings that were named, and none of its labels or other flags."""
    assert program_of(argv) == program
