"""An option is defined once; its value comes from the source that goes first, and says so."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from testkit.core import options as o
from testkit.core import readers
from testkit.core.configuration import configuration_sources
from testkit.core.errors import OptionError


class Group(o.OptionGroup):
    """Options of these tests."""

    with_xunit: bool = o.option(default=False, help="Write it.", aliases=("--with-junit",))
    xunit_file: Path = o.option(default=Path("reports/xunit.xml"), help="Where.", metavar="FILE")
    slowest: int = o.option(default=5, help="How many: 100 % of them.")
    cover_min: float = o.option(default=0.0, help="Least.", parse=readers.percentage)
    flavour: str = o.option(default="default", help="Which.", parse=readers.one_of("default", "strict"))
    packages: tuple[str, ...] = o.option(default=(), help="Packages.")
    hosts: tuple[str, ...] = o.option(default=(), help="Hosts.", command_line=False)
    with_cov: bool = o.option(default=False, help="Measure.", early=True)


def parse(*arguments):
    parser = argparse.ArgumentParser()
    o.add_arguments(parser, [Group])
    return o.from_command_line(vars(parser.parse_args(arguments)))


def test_the_command_line_goes_before_the_environment_before_settings_before_the_default():
    """Precedence is command line, environment, settings, default; and each value knows its origin."""
    command_line = parse("--slowest", "1")
    environment = o.from_environment({"TESTKIT_SLOWEST": "2", "TESTKIT_WITH_XUNIT": "yes", "HOME": "/"})
    settings = o.from_settings({"SLOWEST": 3, "WITH_XUNIT": False, "HOSTS": ["a", "b"]})
    options = o.resolve([Group], [command_line, environment, settings])
    assert options[Group] == Group(slowest=1, with_xunit=True, hosts=("a", "b"))
    origins = {name: setting.origin for name, setting in options.settings.items()}
    assert origins["slowest"] == "--slowest"
    assert origins["with_xunit"] == "TESTKIT_WITH_XUNIT in the environment"
    assert origins["hosts"] == 'TESTKIT["HOSTS"] in the settings'
    assert origins["flavour"] == "default"


def test_a_switch_can_be_turned_off_on_the_command_line():
    """What the settings turn on, ``--no-…`` turns off; an alias is the same option."""
    settings = o.from_settings({"WITH_XUNIT": True})
    assert o.resolve([Group], [parse("--no-with-xunit"), settings])[Group].with_xunit is False
    assert o.resolve([Group], [parse("--with-junit")])[Group].with_xunit is True


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (o.from_command_line({"slowest": "many"}), "--slowest is 'many': give a whole number"),
        (o.from_environment({"TESTKIT_SLOWEST": "-1"}), "TESTKIT_SLOWEST in the environment is '-1'"),
        (o.from_environment({"TESTKIT_COVER_MIN": "101"}), "give a number from 0 to 100"),
        (o.from_environment({"TESTKIT_WITH_XUNIT": "perhaps"}), "give true or false"),
        (o.from_settings({"FLAVOUR": "sweet"}), "TESTKIT[\"FLAVOUR\"] in the settings is 'sweet': give one of default"),
        (o.from_settings({"HOSTS": [1]}), "a list of text"),
        (o.from_settings({"XUNIT_FILE": ""}), "give a path"),
        (o.from_settings({"XUNIT_FIEL": "x"}), 'did you mean TESTKIT["XUNIT_FILE"]?'),
        (o.from_settings({"xunit_file": "x"}), 'TESTKIT["xunit_file"] in the settings is no option of testkit'),
        (o.from_settings({"WITH_COV": True}), "[tool.testkit] in pyproject.toml"),
        (o.from_environment({"TESTKIT_XUNIT_FIEL": "x"}), "did you mean TESTKIT_XUNIT_FILE?"),
        (o.from_file("setup.cfg", {"nothing": "x"}), "nothing in setup.cfg is no option"),
    ],
)
def test_a_mistake_says_what_where_and_what_is_accepted(source, message):
    """A bad value or an unknown name is an error that says where it stands and what is accepted."""
    with pytest.raises(OptionError) as caught:
        o.resolve([Group], [source])
    assert message in str(caught.value)


def test_a_flag_of_the_projects_own_runner_stays_its_own():
    """A flag that the parser has already is left to its owner."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slowest", action="store_true")
    o.add_arguments(parser, [Group])
    assert parser.parse_args(["--slowest"]).slowest is True


def test_a_flag_that_takes_names_may_be_repeated():
    """Names come separated by commas, by repeating the flag, or both."""
    assert o.resolve([Group], [parse("--packages=a,b", "--packages", "c")])[Group].packages == ("a", "b", "c")


def test_only_what_was_typed_is_given():
    """Without flags nothing comes from the command line, and --help shows every flag with a percent sign intact."""
    assert parse().values == {}
    parser = argparse.ArgumentParser()
    o.add_arguments(parser, [Group])
    text = parser.format_help()
    assert "--no-with-xunit" in text
    assert "100 %" in text
    assert "--hosts" not in text


def test_every_value_is_shown_with_its_origin():
    """The description has a line for each option with its value and origin."""
    lines = o.resolve([Group], [parse("--xunit-file", "out.xml")]).describe().splitlines()
    assert len(lines) == 8
    assert lines[1].split() == ["--xunit-file", "out.xml", "(--xunit-file)"]
    assert any(line.startswith('TESTKIT["HOSTS"] ') for line in lines)  # it has no flag


def test_other_variables_of_our_prefix_are_left_alone():
    """The environment may hold variables with our prefix that are no options."""
    o.resolve([Group], [o.from_environment({"TESTKIT_POSTGRES_URL": "postgres://", "TESTKIT_WORKER": "1"})])


def test_configuration_files_are_sources(tmp_path):
    """[testkit] in setup.cfg and [tool.testkit] in pyproject.toml give options, early ones too."""
    (tmp_path / "setup.cfg").write_text("[testkit]\nwith_cov = true\nslowest = 2\n")
    (tmp_path / "pyproject.toml").write_text('[tool.testkit]\nslowest = 3\nflavour = "strict"\n')
    options = o.resolve([Group], list(configuration_sources(tmp_path)))
    assert options[Group] == Group(with_cov=True, slowest=2, flavour="strict")
    assert options.settings["slowest"].origin == "slowest in setup.cfg under [testkit]"


def test_a_configuration_file_that_cannot_be_read_is_an_error(tmp_path):
    """A file with a section of ours that cannot be read is named; one without is none of our business."""
    (tmp_path / "setup.cfg").write_text("[testkit]\nwith_cov\n")
    with pytest.raises(OptionError, match=r"setup\.cfg cannot be read"):
        list(configuration_sources(tmp_path))
    (tmp_path / "setup.cfg").write_text("[metadata\n")
    assert list(configuration_sources(tmp_path)) == []
