"""testkit: the Django test runner and CI plugin suite.

The public names are re-exported lazily: importing testkit imports nothing but the standard library, so that it may
stand in settings, in ``conftest.py`` and in code that runs without tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testkit.core.lazy import lazily

__version__ = "0.1.0"

if TYPE_CHECKING:
    from testkit.core.current import attach as attach
    from testkit.core.current import record_property as record_property
    from testkit.core.marks import no_split as no_split
    from testkit.core.marks import resource as resource
    from testkit.core.marks import timeout as timeout
    from testkit.databases.guard import refuse_production as refuse_production
    from testkit.logs import VerbosityLogging as VerbosityLogging
    from testkit.queries.assertions import QueryAssertionsMixin as QueryAssertionsMixin
    from testkit.queries.timer import view_timer as view_timer
    from testkit.runner import TestkitRunner as TestkitRunner
    from testkit.runner import TestkitRunnerMixin as TestkitRunnerMixin
    from testkit.screenshots.mixin import ResponsiveScreenshotMixin as ResponsiveScreenshotMixin
    from testkit.screenshots.needle.cases import NeedleTestCase as NeedleTestCase

_HOMES = {
    "NeedleTestCase": "testkit.screenshots.needle.cases",
    "QueryAssertionsMixin": "testkit.queries.assertions",
    "ResponsiveScreenshotMixin": "testkit.screenshots.mixin",
    "TestkitRunner": "testkit.runner",
    "TestkitRunnerMixin": "testkit.runner",
    "VerbosityLogging": "testkit.logs",
    "attach": "testkit.core.current",
    "no_split": "testkit.core.marks",
    "record_property": "testkit.core.current",
    "refuse_production": "testkit.databases.guard",
    "resource": "testkit.core.marks",
    "timeout": "testkit.core.marks",
    "view_timer": "testkit.queries.timer",
}

__all__ = sorted([*_HOMES, "__version__"])
__getattr__, __dir__ = lazily(__name__, _HOMES, __all__)
