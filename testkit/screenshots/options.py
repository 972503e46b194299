"""The options of screenshots, and how the process in which a test runs knows them.

A run's own front knows all options; a test may run in a worker, or under a runner that has never heard of testkit. So
:func:`current` reads them where it is asked, from the environment, the settings and the configuration files; what was
typed on a command line, :func:`export` puts into the environment, which workers inherit.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, MutableMapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from testkit.core.configuration import configuration_sources
from testkit.core.options import (
    OptionGroup,
    Options,
    Source,
    from_environment,
    from_settings,
    option,
    resolve,
)
from testkit.core.readers import boolean, names, one_of

if TYPE_CHECKING:
    from testkit.screenshots.viewports import Breakpoint

TAG = "screenshots"
"""The tag of all tests that need a browser."""
HINT = "needs a browser: --with-needle or RUN_NEEDLE_TESTS=1 includes the tests with screenshots"
"""Why they are skipped otherwise."""
BROWSERS = ("chromium", "chrome", "edge", "firefox", "webkit")


def without_account(url: str) -> str:
    """Return ``url`` without its user and password, whatever is in these, and whether it is a URL or not."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


class Address:
    """The URL of a WebDriver server. It may have a password in it, which is not shown."""

    def __init__(self, url: str = "") -> None:
        self.url = url

    def __str__(self) -> str:
        shown = without_account(self.url)
        return shown if shown == self.url else shown.replace("://", "://…@", 1)

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and other.url == self.url

    __hash__ = None  # type: ignore[assignment]


def _address(value: Any) -> Address:
    if isinstance(value, Address):
        return value
    if not isinstance(value, str) or (
        value and not (urlsplit(value).scheme in ("http", "https") and urlsplit(value).hostname)
    ):
        raise ValueError("give the http or https URL of a WebDriver server, what is special in a password as %2F")
    return Address(value)


def _breakpoints(value: Any) -> tuple[Breakpoint, ...]:
    from testkit.screenshots.viewports import read_breakpoints  # here, as every run begins with this file

    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        value = ",".join(value)  # a flag may be repeated
    return read_breakpoints(value)


def _browsers(value: Any) -> tuple[str, ...]:
    found = names(value)
    strange = [name for name in found if name not in BROWSERS]
    if strange or len(set(found)) < len(found) or not found:
        raise ValueError(f"give some of {', '.join(BROWSERS)}, each once")
    return found


def _path_or_nothing(value: Any) -> str:
    if not isinstance(value, str | Path):
        raise ValueError("give the path of a program")
    return str(value)


def _moment(value: Any) -> str:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("give a date as 2026-01-31, or with a time as 2026-01-31T12:00:00+00:00") from None
    return str(value)


class ScreenshotOptions(OptionGroup):
    """How tests with screenshots are run."""

    with_needle: bool = option(
        default=False, help="Run the tests with screenshots, which need a browser; else they are skipped."
    )
    with_save_baseline: bool = option(
        default=False, help="Write all screenshots as their baselines rather than compare them."
    )
    missing_baselines: str = option(
        default="auto",
        metavar="auto|write|fail",
        parse=one_of("auto", "write", "fail"),
        help="What becomes of a screenshot without a baseline: write it and go on, or fail; auto fails with CI=true.",
    )
    baselines: Path = option(
        default=Path("screenshots/baseline"), metavar="FOLDER", help="Where the baselines of screenshots are."
    )
    breakpoints: tuple[Breakpoint, ...] = option(
        default=(),
        metavar="WIDTHxHEIGHT",
        parse=_breakpoints,
        help="The sizes at which pages are looked at, by default 1024x800, 800x600 and 320x540.",
    )
    browsers: tuple[str, ...] = option(
        default=("chromium",),
        metavar="NAME",
        parse=_browsers,
        help=f"The browsers of tests with screenshots, each test in each: {', '.join(BROWSERS)}.",
    )
    browser_binary: str = option(
        default="",
        metavar="PATH",
        parse=_path_or_nothing,
        help="Where the first of the browsers is, if it is not in the PATH.",
    )
    browser_driver: str = option(
        default="", metavar="PATH", parse=_path_or_nothing, help="Where its WebDriver server is, likewise."
    )
    webdriver_url: Address = option(
        default=Address(),
        parse=_address,
        command_line=False,
        secret=True,
        help="URL of a WebDriver server or grid that has the browsers, rather than this machine.",
    )
    screenshot_timeout: float = option(
        default=10.0,
        metavar="SECONDS",
        help="Wait so long for a page to come to rest, and for its requests to end when the test has.",
    )
    freeze_time: str = option(
        default="",
        metavar="DATE",
        parse=_moment,
        help="Stop the clock of all pages at this date, and seed their random numbers.",
    )

    @property
    def writes_missing(self) -> bool:
        """Whether a screenshot without a baseline becomes one."""
        if self.missing_baselines == "auto":
            return not _is_yes(os.environ.get("CI", ""))
        return self.missing_baselines == "write"


_OF_NEEDLE = {"RUN_NEEDLE_TESTS": "with_needle", "NEEDLE_SAVE_BASELINE": "with_save_baseline"}


def from_needle(environ: Mapping[str, str]) -> Source:
    """Return the source of the variables that suites written for Needle are run with."""
    spelled = {name: variable for variable, name in _OF_NEEDLE.items()}
    # Needle asks whether there is any text; "0" is no by everybody's habit.
    values = {name: _is_yes(environ[variable]) for variable, name in _OF_NEEDLE.items() if environ.get(variable)}
    return Source("the environment", values, lambda name: spelled.get(name, name))


def _is_yes(value: str) -> bool:
    try:
        return boolean(value)
    except ValueError:
        return True


def current() -> ScreenshotOptions:
    """Return the options as this process has them.

    Raises:
        OptionError: one of them cannot be read.
    """
    sources = [from_environment(os.environ), from_needle(os.environ), *_settings(), *_files()]
    return resolve((ScreenshotOptions,), [_own(source) for source in sources])[ScreenshotOptions]


def _own(source: Source) -> Source:
    """Return ``source`` with the options of screenshots alone; whoever knows them all tells of strangers."""
    known = ScreenshotOptions.declared
    return source._replace(values={name: value for name, value in source.values.items() if name in known})


def _settings() -> list[Source]:
    from django.conf import settings

    given = getattr(settings, "TESTKIT", {}) if settings.configured or "DJANGO_SETTINGS_MODULE" in os.environ else {}
    return [from_settings(given)] if isinstance(given, Mapping) else []


@functools.cache
def base_folder() -> Path:
    """Return the folder in which the run began, as far as this process knows; a test may go to another.

    Baselines and results are there, and what is noted of their paths begins there.
    """
    return Path.cwd()


def from_base(path: str | Path) -> str:
    """Return ``path`` from the base folder on, with ``/`` on all systems, if it lies below; else as it is."""
    relative = os.path.relpath(base_folder() / path, base_folder())
    return str(path) if relative.startswith("..") else relative.replace(os.sep, "/")


@functools.cache
def _files() -> list[Source]:
    return list(configuration_sources(base_folder()))


def export(options: Options, environ: MutableMapping[str, str] = os.environ) -> None:
    """Put what was typed on the command line into ``environ``, for this process's tests and for its children."""
    for name in ScreenshotOptions.declared:
        setting = options.settings[name]
        if setting.origin.startswith("--"):
            environ[f"TESTKIT_{name.upper()}"] = _as_text(setting.value)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, tuple):
        return ",".join(value if all(isinstance(part, str) for part in value) else map(_breakpoint_as_text, value))
    return str(value)


def _breakpoint_as_text(one: Breakpoint) -> str:
    """Return a breakpoint with no more to it than a command line can say."""
    motion = "reduced-motion" if one.reduced_motion else ""
    return f"{one.width}x{one.height}@{one.scale:g} {one.scheme} {one.media} {motion}".rstrip()
