"""The configuration files of a project: ``[testkit]`` in setup.cfg, ``[tool.testkit]`` in pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from testkit.core.errors import OptionError
from testkit.core.options import Source, from_file


def configuration_sources(folder: Path) -> Iterable[Source]:
    """Yield a source of options for each file in ``folder`` that has a section of ours.

    Raises:
        OptionError: a file that has one cannot be read.
    """
    # The parsers load only when there is something for them: most projects have no such section.
    text = _text(folder / "setup.cfg")
    if "[testkit]" in text:
        import configparser

        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(text, "setup.cfg")
        except configparser.Error as error:
            raise OptionError(f"setup.cfg cannot be read: {error}") from error
        if parser.has_section("testkit"):
            yield from_file("setup.cfg under [testkit]", dict(parser.items("testkit")))
    text = _text(folder / "pyproject.toml")
    if "[tool.testkit]" in text:
        import tomllib

        try:
            values = tomllib.loads(text).get("tool", {}).get("testkit", {})
        except tomllib.TOMLDecodeError as error:
            raise OptionError(f"pyproject.toml cannot be read: {error}") from error
        yield from_file("pyproject.toml under [tool.testkit]", values)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
