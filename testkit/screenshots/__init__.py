"""Screenshots: what pages look like in real browsers, compared with baselines that people approved.

Nothing here knows the runner: it works the same under plain ``manage.py test``, nose2 and pytest. The names are loaded
when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.core.lazy import lazily

if TYPE_CHECKING:
    from testkit.screenshots.capture import Clip as Clip
    from testkit.screenshots.mixin import ResponsiveScreenshotMixin as ResponsiveScreenshotMixin
    from testkit.screenshots.needle.cases import NeedleTestCase as NeedleTestCase
    from testkit.screenshots.page import Page as Page
    from testkit.screenshots.viewports import Breakpoint as Breakpoint

_HOMES = {
    "Breakpoint": "testkit.screenshots.viewports",
    "Clip": "testkit.screenshots.capture",
    "NeedleTestCase": "testkit.screenshots.needle.cases",
    "Page": "testkit.screenshots.page",
    "ResponsiveScreenshotMixin": "testkit.screenshots.mixin",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazily(__name__, _HOMES, __all__)
