"""What can be wrong with taking and comparing screenshots, other than that two of them differ."""

from __future__ import annotations

from testkit.core.errors import TestkitError


class ScreenshotError(TestkitError):
    """The set-up is wrong: a browser or a library is absent, an option or an attribute cannot be what it is."""


class UnusableImage(ScreenshotError):
    """An image cannot be compared: it is empty, cut off, not a PNG at all, or too large to be decoded."""
