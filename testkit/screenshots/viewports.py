"""Breakpoints: at which sizes a page is looked at, and what the browser says of its user there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

LARGEST_SIDE = 16_384
"""CSS pixels; what is larger is a slip of the pen, and the memory of its image is not to be had."""
LARGEST_SCALE = 8
ACCEPTED = (
    "(1024, 800), Breakpoint(1024, 800, scheme='dark'), {'width': 1024, 'height': 800, 'scheme': 'dark'}, "
    "or as text '1024x800, 320x540@2 dark'"
)
_NAME = re.compile(r"[\w-][\w.-]{0,59}")
_TEXT = re.compile(r"(?P<width>\d{1,6})[x×](?P<height>\d{1,6})(?:@(?P<scale>\d+(?:\.\d+)?)x?)?(?P<words>.*)", re.DOTALL)
_LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")
_TIME_ZONE = re.compile(r"[A-Za-z][\w+-]*(?:/[\w+-]+)*")
_WORDS: dict[str, dict[str, Any]] = {
    "dark": {"scheme": "dark"},
    "light": {"scheme": "light"},
    "print": {"media": "print"},
    "reduced-motion": {"reduced_motion": True},
}


class Breakpoint(NamedTuple):
    """The inside of a browser's window, and what it tells a page of its user and device."""

    width: int
    """Of the viewport, scrollbars left out, in CSS pixels; ``window.innerWidth``."""
    height: int
    """``window.innerHeight``."""
    name: str = ""
    """What its images are called by, instead of the width; needed where two breakpoints are of one width."""
    scale: float = 1
    """Device pixels for each CSS pixel; an image is this many times the size of the page."""
    scheme: str = ""
    """``light`` or ``dark``, for ``prefers-color-scheme``; empty for what the browser has."""
    reduced_motion: bool = False
    """Whether ``prefers-reduced-motion`` holds."""
    media: str = ""
    """``print`` for the style sheets of a printed page, else empty."""
    locale: str = ""
    """Such as ``de-DE``: the language that is asked for, and in which the browser formats. From the next load on."""
    time_zone: str = ""
    """Such as ``Europe/Berlin``. From the next load on."""

    @property
    def label(self) -> str:
        """What stands for this breakpoint in the names of images: ``1024``, ``320_dark_2x``, or its name."""
        if self.name:
            return self.name
        parts = [str(self.width), self.scheme]
        if self.scale != 1:
            parts.append(f"{self.scale:g}x")
        if self.reduced_motion:
            parts.append("reduced-motion")
        parts += [self.media, self.locale, self.time_zone.replace("/", "-")]
        return "_".join(part for part in parts if part)

    @property
    def at_load(self) -> tuple[str, str]:
        """What a page is told when it is loaded: one that was told otherwise must be loaded again to look as here."""
        return self.locale, self.time_zone


DEFAULT = (Breakpoint(1024, 800), Breakpoint(800, 600), Breakpoint(320, 540))


def read_breakpoints(value: object) -> tuple[Breakpoint, ...]:
    """Return the breakpoints that ``value`` lists: ``SIZES`` of a class, or the option ``breakpoints``.

    Raises:
        ValueError: one of them is none, or two would have the same name for their images; it says what is accepted.
    """
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, Mapping | Breakpoint) or not isinstance(value, Iterable):
        raise ValueError(f"a list of breakpoints is wanted, not {value!r}: each as {ACCEPTED}")
    breakpoints = tuple(_read(entry) for entry in value)
    if not breakpoints:
        raise ValueError(f"there is no breakpoint: give at least one, as {ACCEPTED}")
    # Compared as file systems do that know no case.
    counts = Counter(each.label.lower() for each in breakpoints)
    if twice := [each for each in breakpoints if counts[each.label.lower()] > 1]:
        raise ValueError(
            f"two breakpoints would both be called {twice[0].label!r} in the names of images: {twice[0]} and {twice[1]}; "
            "give one of them a name of its own: Breakpoint(…, name='short')"
        )
    return breakpoints


def _read(entry: object) -> Breakpoint:
    """Return the breakpoint that one entry of a list stands for."""
    try:
        if isinstance(entry, Breakpoint):
            found = entry
        elif isinstance(entry, str):
            found = _from_text(entry)
        elif isinstance(entry, Mapping):
            found = Breakpoint(**entry)
        elif isinstance(entry, list | tuple) and len(entry) == 2:
            found = Breakpoint(*entry)
        else:
            raise ValueError("a width and a height are wanted")
        return _checked(found)
    except (TypeError, ValueError) as error:
        # A TypeError comes of unknown or missing keys, and says which.
        reason = str(error).replace("Breakpoint.__new__() ", "").replace("keyword argument", "key")
        raise ValueError(f"{entry!r} is no breakpoint: {reason}; accepted are {ACCEPTED}") from None


def _from_text(text: str) -> Breakpoint:
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise ValueError("it does not begin with WIDTHxHEIGHT")
    options: dict[str, Any] = {}
    for word in match["words"].split():
        if word not in _WORDS:
            raise ValueError(f"{word!r} is none of {', '.join(_WORDS)}")
        options |= _WORDS[word]
    return Breakpoint(int(match["width"]), int(match["height"]), scale=float(match["scale"] or 1), **options)


def _checked(found: Breakpoint) -> Breakpoint:
    """Return ``found`` if a browser can be that, and files be called so."""
    for side, pixels in (("width", found.width), ("height", found.height)):
        if type(pixels) is not int or not 1 <= pixels <= LARGEST_SIDE:
            raise ValueError(f"its {side} must be a whole number from 1 to {LARGEST_SIDE}, not {pixels!r}")
    if type(found.scale) not in (int, float) or not 0 < found.scale <= LARGEST_SCALE:
        raise ValueError(f"its scale must be a number above 0 and up to {LARGEST_SCALE}, not {found.scale!r}")
    if found.scheme not in ("", "light", "dark"):
        raise ValueError(f"its scheme must be 'light' or 'dark', not {found.scheme!r}")
    if found.media not in ("", "print"):
        raise ValueError(f"its media must be 'print' or '', not {found.media!r}")
    if type(found.reduced_motion) is not bool:
        raise ValueError(f"its reduced_motion must be True or False, not {found.reduced_motion!r}")
    patterns = {"name": _NAME, "locale": _LOCALE, "time_zone": _TIME_ZONE}
    for key, pattern in patterns.items():
        text = getattr(found, key)
        if not isinstance(text, str) or (text and not pattern.fullmatch(text)):
            raise ValueError(f"its {key} cannot be {text!r}: letters, digits, -, _ and . are for file names")
    return found
