"""Needle's contract on Selenium 4: ``NeedleTestCase``, its drivers and elements, and the real Needle made to work.

Nothing here imports Selenium or Pillow before a browser is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.core.lazy import lazily

if TYPE_CHECKING:
    from testkit.screenshots.needle.adapter import adapt as adapt
    from testkit.screenshots.needle.cases import NeedleTestCase as NeedleTestCase
    from testkit.screenshots.needle.driver import NeedleChrome as NeedleChrome
    from testkit.screenshots.needle.driver import NeedleFirefox as NeedleFirefox
    from testkit.screenshots.needle.driver import NeedleFirefoxWebElement as NeedleFirefoxWebElement
    from testkit.screenshots.needle.driver import NeedleIe as NeedleIe
    from testkit.screenshots.needle.driver import NeedleOpera as NeedleOpera
    from testkit.screenshots.needle.driver import NeedlePhantomJS as NeedlePhantomJS
    from testkit.screenshots.needle.driver import NeedleRemote as NeedleRemote
    from testkit.screenshots.needle.driver import NeedleSafari as NeedleSafari
    from testkit.screenshots.needle.driver import NeedleWebDriverMixin as NeedleWebDriverMixin
    from testkit.screenshots.needle.driver import NeedleWebElement as NeedleWebElement
    from testkit.screenshots.needle.driver import NeedleWebElementMixin as NeedleWebElementMixin

_DRIVER = "testkit.screenshots.needle.driver"
_HOMES = {
    "adapt": "testkit.screenshots.needle.adapter",
    "NeedleTestCase": "testkit.screenshots.needle.cases",
    "NeedleChrome": _DRIVER,
    "NeedleFirefox": _DRIVER,
    "NeedleFirefoxWebElement": _DRIVER,
    "NeedleIe": _DRIVER,
    "NeedleOpera": _DRIVER,
    "NeedlePhantomJS": _DRIVER,
    "NeedleRemote": _DRIVER,
    "NeedleSafari": _DRIVER,
    "NeedleWebDriverMixin": _DRIVER,
    "NeedleWebElement": _DRIVER,
    "NeedleWebElementMixin": _DRIVER,
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazily(__name__, _HOMES, __all__)
