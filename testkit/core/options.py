"""Options: each is defined once, and every value knows where it came from.

A room declares its options as the fields of an :class:`OptionGroup`, made with :func:`option`. From the field's name follow
its flag (``xunit_file`` → ``--xunit-file``), its environment variable (``TESTKIT_XUNIT_FILE``) and its key in the
settings dict (``TESTKIT = {"XUNIT_FILE": …}``). :func:`resolve` reads the sources in their order of precedence and
returns the filled groups.
"""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar, cast, dataclass_transform

from testkit.core.errors import OptionError
from testkit.core.readers import READERS, Parse, boolean

T = TypeVar("T")
G = TypeVar("G", bound="OptionGroup")


class Option(NamedTuple):
    """How one option is spelled and read. ``parse`` takes text or a settings value and raises ValueError."""

    default: Any
    help: str
    parse: Parse
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    early: bool = False
    command_line: bool = True
    secret: bool = False


def option(
    *,
    default: T,
    help: str,
    parse: Parse | None = None,
    aliases: Sequence[str] = (),
    metavar: str | None = None,
    early: bool = False,
    command_line: bool = True,
    secret: bool = False,
) -> T:
    """Declare a field of an options group.

    Args:
        default: the value when no source gives one; it also tells how text is read, unless ``parse`` does.
        help: one sentence for ``--help``.
        parse: reads text or a settings value; raises ValueError with what is accepted.
        aliases: further flags, such as ``--with-coverage``.
        metavar: what stands for the value in ``--help``.
        early: must be known before the settings are imported, so settings cannot give it.
        command_line: whether there is a flag at all.
        secret: whether a value is left out of errors, as there may be a password in it.
    """
    reader = parse or READERS[type(default)]
    declaration = Option(default, help, reader, tuple(aliases), metavar, early, command_line, secret)
    return cast(T, declaration)


@dataclass_transform(field_specifiers=(option,), frozen_default=True, kw_only_default=True)
class OptionGroup:
    """A room's options: a frozen record whose fields are declared by :func:`option`.

    It is a dataclass to readers and type checkers. Every run makes these classes at its start, and a real one takes
    twenty times as long to make.
    """

    declared: ClassVar[Mapping[str, Option]] = {}

    def __init_subclass__(cls) -> None:
        cls.declared = {name: value for name, value in vars(cls).items() if isinstance(value, Option)}

    def __init__(self, **given: Any) -> None:
        strangers = given.keys() - self.declared.keys()
        if strangers:
            raise TypeError(f"{type(self).__name__} has no option {', '.join(sorted(strangers))}")
        vars(self).update({name: spec.default for name, spec in self.declared.items()}, **given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: options do not change during a run")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"


class Source(NamedTuple):
    """A place where options are set: values by option name, and how that place calls an option.

    ``knows_all`` says that nothing but options may stand there, so that a stranger among them is a mistake. ``late``
    says that it can be read only after the settings were imported.
    """

    title: str
    values: Mapping[str, Any]
    spell: Callable[[str], str]
    knows_all: bool = False
    late: bool = False


def flag_of(name: str) -> str:
    """Return the flag of the option ``name``."""
    return "--" + name.replace("_", "-")


def _settings_key(name: str) -> str:
    return f'TESTKIT["{name.upper()}"]'


def from_command_line(values: Mapping[str, Any]) -> Source:
    """Return the source of what argparse found."""
    return Source("the command line", values, flag_of)


def from_environment(environ: Mapping[str, str]) -> Source:
    """Return the source of the ``TESTKIT_*`` variables."""
    prefix = "TESTKIT_"
    values = {key[len(prefix) :].lower(): value for key, value in environ.items() if key.startswith(prefix)}
    return Source("the environment", values, lambda name: prefix + name.upper())


def from_settings(values: Mapping[str, Any]) -> Source:
    """Return the source of the settings dict ``TESTKIT``."""
    return Source(
        "the settings",
        {key.lower() if key.isupper() else f"({key})": value for key, value in values.items()},
        lambda name: f'TESTKIT["{name.strip("()") if name.startswith("(") else name.upper()}"]',
        knows_all=True,
        late=True,
    )


def from_file(file: str, values: Mapping[str, Any]) -> Source:
    """Return the source of a configuration file's testkit section."""
    return Source(file, {key.replace("-", "_"): value for key, value in values.items()}, str, knows_all=True)


class Setting(NamedTuple):
    """A resolved value and where it came from."""

    value: Any
    origin: str


class Options:
    """The filled groups of options of one run, and where each value came from.

    ``options[XunitOptions]`` is the filled group of that class.
    """

    def __init__(self, groups: Mapping[type[OptionGroup], Any], settings: Mapping[str, Setting]) -> None:
        self._groups = groups
        self.settings = settings

    def __getitem__(self, group: type[G]) -> G:
        filled: G = self._groups[group]
        return filled

    def describe(self) -> str:
        """Return a line for each option: its flag (or key in the settings), its value and where that came from."""
        known = declared(self._groups)
        titles = {name: flag_of(name) if known[name].command_line else _settings_key(name) for name in self.settings}
        width = max(map(len, titles.values()))
        return "\n".join(
            f"{titles[name]:<{width}}  {_show(setting.value)}  ({setting.origin})"
            for name, setting in self.settings.items()
        )


def _show(value: Any) -> str:
    return str(value) if isinstance(value, Path) else json.dumps(value, default=str)


def declared(groups: Iterable[type[OptionGroup]]) -> dict[str, Option]:
    """Return the options of ``groups`` by name."""
    return {name: spec for group in groups for name, spec in group.declared.items()}


def add_arguments(
    parser: argparse.ArgumentParser, groups: Iterable[type[OptionGroup]], title: str = "testkit"
) -> frozenset[str]:
    """Give ``parser`` a flag for each option, and return the names of the options that got one.

    Values stay text here; :func:`resolve` reads them, so that a mistake reads the same from every source. A flag that
    the parser has already (a project's own runner may) is left to its owner.
    """
    added = set()
    arguments = parser.add_argument_group(title)
    for name, spec in declared(groups).items():
        flags = [flag for flag in (flag_of(name), *spec.aliases) if flag not in parser._option_string_actions]
        if not flags or not spec.command_line:
            continue
        added.add(name)
        # No default: only what was typed reaches the runner, and everything else is for the other sources to say.
        kwargs: dict[str, Any] = {"dest": name, "default": argparse.SUPPRESS, "help": _help(spec)}
        if spec.parse is boolean:
            arguments.add_argument(*flags, action=argparse.BooleanOptionalAction, **kwargs)
        else:
            action = "append" if isinstance(spec.default, tuple) else "store"
            arguments.add_argument(*flags, action=action, metavar=spec.metavar, **kwargs)
    return frozenset(added)


def _help(spec: Option) -> str:
    default = f" Default: {spec.default}." if spec.default and not isinstance(spec.default, bool) else ""
    return f"{spec.help}{default}".replace("%", "%%")


def resolve(groups: Sequence[type[OptionGroup]], sources: Sequence[Source]) -> Options:
    """Fill ``groups`` from ``sources``, of which an earlier one goes before a later one.

    Raises:
        OptionError: a value cannot be read, an early option stands in a late source, or a name is unknown.
    """
    known = declared(groups)
    for source in sources:
        _refuse_strangers(source, known)
    settings = {name: _find(name, spec, sources) for name, spec in known.items()}
    filled = {group: group(**{name: settings[name].value for name in group.declared}) for group in groups}
    return Options(filled, settings)


def _find(name: str, spec: Option, sources: Sequence[Source]) -> Setting:
    for source in sources:
        if name not in source.values:
            continue
        where = (
            source.spell(name) if source.title.startswith("the command") else f"{source.spell(name)} in {source.title}"
        )
        if spec.early and source.late:
            raise OptionError(
                f"{where} comes too late, since it must be known before the settings are imported: give "
                f"{flag_of(name)}, TESTKIT_{name.upper()} in the environment, or `{name}` under [testkit] in setup.cfg "
                f"or [tool.testkit] in pyproject.toml"
            )
        value = source.values[name]
        try:
            return Setting(spec.parse(value), where)
        except ValueError as error:
            raise OptionError(f"{where} is {'wrong' if spec.secret else repr(value)}: {error}") from None
    return Setting(spec.default, "default")


def _refuse_strangers(source: Source, known: Mapping[str, Option]) -> None:
    for name in source.values:
        if name in known:
            continue
        # Where others may put names too, only what looks like a slip of the pen is taken for one.
        cutoff = 0.6 if source.knows_all else 0.85
        near = difflib.get_close_matches(name.strip("()").lower(), known, n=1, cutoff=cutoff)
        if near or source.knows_all:
            hint = f"did you mean {source.spell(near[0])}?" if near else "--show-options lists those there are"
            raise OptionError(f"{source.spell(name)} in {source.title} is no option of testkit: {hint}")
