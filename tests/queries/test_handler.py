"""The log as a development server prints it: real settings, real queries, a process of their own."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.projects import clean_environment

SETTINGS = """
from testkit.queries.formatter import readable_sql_logging

SECRET_KEY = "of a test"
DEBUG = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
LOGGING = readable_sql_logging()
"""
SCRIPT = """
import logging
import django
django.setup()
from django.contrib.auth.models import User
from django.core.management import call_command
logging.disable(logging.DEBUG)
call_command("migrate", verbosity=0)
logging.disable(logging.NOTSET)

def look_up(number):
    return User.objects.filter(pk=number, username="[red]a FROM b[/red]").first()

for number in range(2):
    look_up(number)
User.objects.count()
logging.getLogger("django.db.backends").warning("[bold]slow[/bold]")
"""
BOTH = """0.0 ms  SELECT /* 11 columns */ FROM "auth_user" WHERE ("auth_user"."id" = {} AND "auth_user"."username" = """
LINES = [
    f"""{BOTH.format(0)}'[red]a FROM b[/red]') ORDER BY "auth_user"."id" ASC LIMIT 1   ask.py:12 in look_up""",
    f"""{BOTH.format(1)}'[red]a FROM b[/red]') ORDER BY "auth_user"."id" ASC LIMIT 1   2nd time   ask.py:12 in look_up""",
    '0.0 ms  SELECT COUNT(*) AS "__count" FROM "auth_user"   ask.py:16 in <module>',
    "[bold]slow[/bold]",
]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9](?:;[0-9;]*)?m")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "site_settings.py").write_text(SETTINGS)
    (tmp_path / "ask.py").write_text(SCRIPT)
    return tmp_path


def run(folder: Path, stderr: int = subprocess.PIPE, **environ: str) -> subprocess.CompletedProcess[str]:
    kept = clean_environment(DJANGO_SETTINGS_MODULE="site_settings", TERM="xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "SQL", "COLUMNS", "COLORTERM"):
        kept.pop(name, None)
    return subprocess.run(
        [sys.executable, "-W", "error", "ask.py"],
        cwd=folder,
        env={**kept, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def run_on_terminal(folder: Path, **environ: str) -> str:
    """Return what is printed to a terminal of 80 columns."""
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as screen:
        result = run(folder, stderr=terminal, **environ)
        os.close(terminal)
        printed = b""
        # The end of what was written to a terminal is an error of the device.
        with suppress(OSError):
            while part := screen.read(10_000):
                printed += part
    text = printed.decode().replace("\r\n", "\n")
    assert result.returncode == 0, text
    return text


def without_times(text: str) -> list[str]:
    return [re.sub(r"^\d+\.\d ms", "0.0 ms", line) for line in text.splitlines()]


def test_sql_1_shows_the_queries_on_stderr(folder):
    """A pipe gets each query on one line, as long as it may be, with nothing read as rich's markup."""
    result = run(folder, SQL="1")
    assert result.returncode == 0, result.stderr
    assert without_times(result.stderr) == LINES
    assert result.stdout == ""


def test_without_it_there_is_nothing_of_them(folder):
    result = run(folder)
    assert result.returncode == 0, result.stderr
    assert "SELECT" not in result.stderr


def test_a_terminal_gets_colours_and_no_broken_lines(folder):
    printed = run_on_terminal(folder, SQL="1")
    assert COLOUR.search(printed)
    assert without_times(ESCAPE.sub("", printed)) == LINES
    assert "[bold]slow[/bold]" in printed


def test_no_color_is_honoured(folder):
    printed = run_on_terminal(folder, SQL="1", NO_COLOR="1")
    assert not COLOUR.search(printed)
    assert without_times(ESCAPE.sub("", printed)) == LINES


def test_force_color_colours_a_pipe(folder):
    printed = run(folder, SQL="1", FORCE_COLOR="1").stderr
    assert COLOUR.search(printed)
    assert without_times(ESCAPE.sub("", printed)) == LINES


def test_without_rich_it_is_plain(folder):
    """SQL=1 works without the optional package, and the handler says what it wants."""
    # What the import system takes for a module that is not installed.
    (folder / "site_settings.py").write_text(f"import sys\nsys.modules['rich'] = None\n{SETTINGS}")
    (folder / "ask.py").write_text(
        f"{SCRIPT}try:\n    import testkit.queries.handler\nexcept ImportError as error:\n    print(error)\n"
    )
    result = run(folder, SQL="1", FORCE_COLOR="1")
    assert result.returncode == 0, result.stderr
    assert without_times(result.stderr) == LINES
    assert "python -m pip install 'django-testkit[log]'" in result.stdout
