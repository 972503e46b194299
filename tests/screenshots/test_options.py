"""The options of screenshots, in whatever process they are asked for."""

from __future__ import annotations

import re
import subprocess
import sys
from base64 import b64decode

import pytest

from testkit.core.errors import OptionError
from testkit.core.options import from_command_line, resolve
from testkit.screenshots import browsers, options
from testkit.screenshots.browsers import Settings
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.options import Address, ScreenshotOptions, export
from testkit.screenshots.viewports import Breakpoint
from tests.projects import clean_environment


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("CI", "RUN_NEEDLE_TESTS", "NEEDLE_SAVE_BASELINE", "NEEDLE_BROWSER"):
        monkeypatch.delenv(name, raising=False)


def typed(**values):
    return resolve((ScreenshotOptions,), [from_command_line(values)])


def test_what_was_typed_is_what_every_process_of_the_run_has(monkeypatch):
    """Each option survives the way through the environment to where the tests run."""
    given = typed(
        with_needle=True,
        with_save_baseline=False,
        missing_baselines="fail",
        baselines="looks",
        breakpoints=["1280x720", "320x540@2 dark print reduced-motion"],
        browsers=["firefox,chromium"],
        screenshot_timeout="2.5",
        freeze_time="2026-01-31",
    )
    environ: dict[str, str] = {}
    export(given, environ)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    wanted, found = vars(given[ScreenshotOptions]), vars(options.current())
    assert {**found, "baselines": 0} == {**wanted, "baselines": 0}
    assert found["baselines"] == wanted["baselines"].absolute()
    assert found["breakpoints"][1] == Breakpoint(320, 540, scale=2, scheme="dark", media="print", reduced_motion=True)


def test_what_was_not_typed_is_left_to_the_settings():
    """Nothing goes into the environment that is there by default: there it would go before the settings."""
    environ: dict[str, str] = {}
    export(typed(), environ)
    assert environ == {}


@pytest.mark.parametrize(
    ("variables", "name", "value"),
    [
        ({"RUN_NEEDLE_TESTS": "1"}, "with_needle", True),
        ({"RUN_NEEDLE_TESTS": "0"}, "with_needle", False),
        ({"RUN_NEEDLE_TESTS": "1", "TESTKIT_WITH_NEEDLE": "0"}, "with_needle", False),
        ({"NEEDLE_SAVE_BASELINE": "1"}, "with_save_baseline", True),
        ({"NEEDLE_SAVE_BASELINE": "sure"}, "with_save_baseline", True),
        ({"CI": "true"}, "writes_missing", False),
        ({"CI": "false"}, "writes_missing", True),
        ({}, "writes_missing", True),
        ({"TESTKIT_MISSING_BASELINES": "fail"}, "writes_missing", False),
        ({"CI": "1", "TESTKIT_MISSING_BASELINES": "write"}, "writes_missing", True),
    ],
)
def test_the_environment_says(monkeypatch, variables, name, value):
    """Needle's variables and those of CI systems are heeded, testkit's own first."""
    for variable, text in variables.items():
        monkeypatch.setenv(variable, text)
    assert getattr(options.current(), name) is value


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BROWSERS", "netscape", "chromium, chrome, edge, firefox, webkit"),
        ("BROWSERS", "firefox,firefox", "each once"),
        ("BREAKPOINTS", "wide", "'wide' is no breakpoint"),
        ("FREEZE_TIME", "yesterday", "2026-01-31"),
        ("MISSING_BASELINES", "maybe", "auto, write, fail"),
    ],
)
def test_a_mistake_says_what_is_accepted(monkeypatch, name, value, told):
    """A value that cannot be is an error that names the variable and what it takes."""
    monkeypatch.setenv(f"TESTKIT_{name}", value)
    with pytest.raises(OptionError, match=f"TESTKIT_{name} in the environment is '{value}'.*{told}"):
        options.current()


def test_the_password_of_a_grid_is_not_shown():
    """Options are printed by --show-options and in errors; what is between // and @ is not."""
    address = Address("https://user:secret@grid.example.com/wd/hub")
    shown = f"{address} {address!r}"
    assert "secret" not in shown
    assert "grid.example.com/wd/hub" in shown
    given = resolve((ScreenshotOptions,), [from_command_line({})])
    assert "secret" not in given.describe()
    assert str(Address("http://127.0.0.1:4444")) == "http://127.0.0.1:4444"


@pytest.mark.parametrize("account", ["user:secret", "secret", "user:sec@ret", "user:se/secret", "user:%2Fsecret"])
@pytest.mark.parametrize("scheme", ["https://", ""])
def test_whatever_a_password_is_it_is_not_shown(monkeypatch, scheme, account):
    """With an @ or a / in it, without a user or a scheme: in no text, error or record is any of it."""
    url = f"{scheme}{account}@grid.example.com:4444/wd"
    shown = f"{Address(url)!r} {Settings(url=url)!r}"
    assert "grid.example.com:4444/wd" in shown
    monkeypatch.setenv("TESTKIT_WEBDRIVER_URL", url)
    try:
        shown += repr(options.current())
    except OptionError as error:
        shown += str(error)
        assert "TESTKIT_WEBDRIVER_URL in the environment is wrong: give the http or https URL" in shown
    assert not re.search("sec|ret", shown.replace("secret=", ""))


@pytest.mark.parametrize(("account", "sent"), [("us%40er:pass", "us@er:pass"), ("token", "token:")])
def test_a_grid_is_told_who_asks(web, account, sent):
    """The user and password of the URL are sent, also where there is but one of them."""
    pytest.importorskip("selenium")
    with pytest.raises(ScreenshotError):  # it is no grid
        browsers.start(Settings(url=web.url.replace("//", f"//{account}@")))
    assert b64decode(web.headers[0]["Authorization"].removeprefix("Basic ")).decode() == sent


def test_settings_and_files_are_read_where_the_test_runs(tmp_path):
    """Without a front that knows testkit, the settings go before setup.cfg, and strangers in them are others' business."""
    (tmp_path / "setup.cfg").write_text("[testkit]\nscreenshot_timeout = 3\nbaselines = looks\nwith_xunit = true\n")
    code = (
        "from django.conf import settings\n"
        "settings.configure(TESTKIT={'SCREENSHOT_TIMEOUT': 4, 'WITH_XUNIT': True, 'BREAKPOINTS': [(640, 480)]})\n"
        "from testkit.screenshots import options\n"
        "import os\n"
        "print(options.current().screenshot_timeout, options.current().baselines, options.current().breakpoints[0].label)\n"
        "os.chdir('/')\n"
        "print(options.current().baselines, options.base_folder())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["4.0", "looks", "640", "looks", str(tmp_path)]
