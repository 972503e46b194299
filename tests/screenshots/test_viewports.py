"""Breakpoints as they are written in classes, settings and the environment, and what is refused."""

from __future__ import annotations

import pytest

from testkit.screenshots.viewports import DEFAULT, Breakpoint, read_breakpoints


def test_breakpoints_are_read_in_every_form() -> None:
    """Pairs, dicts, breakpoints and text say the same."""
    assert read_breakpoints([(1024, 800), [800, 600], {"width": 320, "height": 540}]) == DEFAULT
    assert read_breakpoints("1024x800, 800x600,320×540") == DEFAULT
    assert read_breakpoints(DEFAULT) == DEFAULT
    assert read_breakpoints("320x540@1.5 dark print reduced-motion") == (
        Breakpoint(320, 540, scale=1.5, scheme="dark", media="print", reduced_motion=True),
    )


@pytest.mark.parametrize(
    ("breakpoint", "label"),
    [
        (Breakpoint(1024, 800), "1024"),
        (Breakpoint(320, 540, scheme="dark"), "320_dark"),
        (Breakpoint(320, 540, scale=2, media="print"), "320_2x_print"),
        (Breakpoint(320, 540, scale=1.5, reduced_motion=True), "320_1.5x_reduced-motion"),
        (Breakpoint(800, 600, locale="de-DE", time_zone="Europe/Berlin"), "800_de-DE_Europe-Berlin"),
        (Breakpoint(800, 600, "tablet", scheme="dark"), "tablet"),
    ],
)
def test_labels_tell_what_differs(breakpoint: Breakpoint, label: str) -> None:
    """What images of a breakpoint are called by has all that is not as usual, or is its name."""
    assert breakpoint.label == label


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (320, "a list of breakpoints is wanted, not 320"),
        ((), "there is no breakpoint"),
        ("320", "'320' is no breakpoint: it does not begin with WIDTHxHEIGHT"),
        ("320x540 night", "'night' is none of dark, light, print, reduced-motion"),
        ([(320,)], "a width and a height are wanted"),
        ([(320, 540), (0, 5)], "its width must be a whole number from 1 to 16384, not 0"),
        ([(True, 5)], "its width must be a whole number from 1 to 16384, not True"),
        ([{"width": 320, "hight": 540}], "got an unexpected key 'hight'"),
        ([{"width": 320, "height": 540, "scale": 0}], "its scale must be a number above 0 and up to 8, not 0"),
        ([{"width": 320, "height": 540, "scheme": "dim"}], "its scheme must be 'light' or 'dark', not 'dim'"),
        ([{"width": 320, "height": 540, "media": "tv"}], "its media must be 'print' or '', not 'tv'"),
        ([{"width": 320, "height": 540, "name": "../up"}], "its name cannot be '../up'"),
        ([{"width": 320, "height": 540, "time_zone": "../etc"}], "its time_zone cannot be '../etc'"),
        ([(320, 540), (320, 900)], "two breakpoints would both be called '320'"),
        ([Breakpoint(9, 9, "Phone"), Breakpoint(8, 8, "phone")], "would both be called 'Phone'"),
    ],
)
def test_what_is_no_breakpoint_is_refused(value: object, reason: str) -> None:
    """The message says what is wrong with which entry, and what is accepted."""
    with pytest.raises(ValueError, match=r"Breakpoint\(") as refused:
        read_breakpoints(value)
    assert reason in str(refused.value)


def test_breakpoints_of_a_locale_need_a_load() -> None:
    """A page that is open shows nothing of another locale or time zone; of another scheme it does."""
    needs = [Breakpoint(9, 9, locale="fr"), Breakpoint(9, 9, time_zone="UTC"), Breakpoint(9, 9, scheme="dark")]
    assert [each.at_load != Breakpoint(8, 8).at_load for each in needs] == [True, True, False]
