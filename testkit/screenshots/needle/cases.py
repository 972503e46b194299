"""``NeedleTestCase`` as Needle 0.5.0 has it, on today's browsers."""

from __future__ import annotations

import os
import unittest
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Unpack

from testkit.screenshots import options
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.mixin import ScreenshotMixin
from testkit.screenshots.optin import browsers

if TYPE_CHECKING:
    from testkit.screenshots.assertion import Rules
    from testkit.screenshots.baselines import Baselines
    from testkit.screenshots.compare import Tolerance
    from testkit.screenshots.view import Look, Shot, Target, View

__unittest = True
__tracebackhide__ = True  # pytest's name for it

PIL = "needle.engines.pil_engine.Engine"
"""Needle's default engine. What it finds, and is asked to tolerate, :mod:`testkit.screenshots.compare` does at once."""


class NeedleMethods(ScreenshotMixin):
    """All that makes a test case one of Needle's."""

    capture: bool = False
    """Deprecated in Needle 0.2: write the baselines that are missing, and skip the test where there is one."""
    cleanup_on_success: bool = False
    """Whether the new image is removed from ``output_directory`` when it is equal to the baseline."""
    output_directory: str | None = None
    """Where new images go, by the name of the baseline: a folder below ``reports/screenshots`` by default."""
    baseline_directory: str | None = None
    """Where the baselines are: ``screenshots/baseline/<browser>-<platform>`` by default."""
    engine_class: ClassVar[str] = PIL
    """The dotted path of a class with ``assertSameFiles(output_file, baseline_file, threshold)``."""
    engine: Any = None
    """An object of that class, made in ``setUpClass``."""

    @classmethod
    def setUpClass(cls) -> None:
        if os.environ.get("NEEDLE_CAPTURE"):
            cls.capture = True
        if options.current().with_save_baseline:  # or NEEDLE_SAVE_BASELINE
            cls.save_baseline = True
        if os.environ.get("NEEDLE_CLEANUP_ON_SUCCESS"):
            cls.cleanup_on_success = True
        from testkit.screenshots.engines import engine_of

        cls.engine = engine_of(cls.engine_class)
        super().setUpClass()

    def assertScreenshot(
        self, element_or_selector: Target, file: str | IO[bytes], threshold: float = 0, **look: Unpack[Look]
    ) -> None:
        """Compare an element with its baseline.

        Args:
            element_or_selector: a CSS selector, ``(By.…, value)``, an element or a ``Clip``; ``"html"`` for the whole page.
            file: the name of the baseline, without ``.png``; or a file that is open for reading bytes, which, as in
                Needle, the default engine compares.
            threshold: how much may differ: the sum over all pixels of their channels' mean difference, black to
                white being 1.
            look: what of :class:`~testkit.screenshots.view.Look` is wanted: ``hide=".advertisement"``.

        Raises:
            AssertionError: the screenshot differs from its baseline, or has none and is not to become one.
        """
        view, rules = self._asked(element_or_selector, threshold, look)
        if isinstance(file, str):
            self._compare_by_name(view, file, rules)
        else:
            self._compare_with_file(view, file, rules)

    @contextmanager
    def compareScreenshot(
        self, element_or_selector: Target, file: str | IO[bytes], threshold: float = 0, **look: Unpack[Look]
    ) -> Iterator[None]:
        """:meth:`assertScreenshot` at the end of the block, in which the page is made to look as it should."""
        yield
        self.assertScreenshot(element_or_selector, file, threshold, **look)

    def _compare_by_name(self, view: View, name: str, rules: Rules) -> None:
        from testkit.screenshots.needle.files import Output, by_engine

        output = Output(self._of_browser(self.output_directory or ""), name)
        has_output = self.engine_class != PIL or self.output_directory != self._default_output()
        if self.engine_class != PIL:
            self._refuse_what_engines_cannot(view, rules.tolerance)
            baseline = self._baselines().path(name)
            rules = rules._replace(compare=by_engine(self.engine, output, baseline, rules.tolerance.threshold))
        if self.capture and self._is_to_be_captured(name):
            rules = rules._replace(writes_missing=True)
        self._last_shot = None
        result = self._judge_view(view, name, "", rules)
        if has_output and self._last_shot is not None and result.state not in ("new", "missing"):
            output.write(self._last_shot.image)
            if result.state == "passed" and self.cleanup_on_success:
                output.remove()
        self._fail_for([result])

    def _is_to_be_captured(self, name: str) -> bool:
        """Return whether the baseline ``name`` is to be written as it is missing; skip the test if it is there."""
        warnings.warn(
            "NeedleTestCase.capture and NEEDLE_CAPTURE are deprecated since Needle 0.2: use save_baseline and "
            "--with-save-baseline, or leave them out, as missing baselines are written anyway",
            PendingDeprecationWarning,
            stacklevel=4,
        )
        if self.save_baseline:
            return False
        if (path := self._baselines().path(name)).exists():
            self.skipTest(
                f"Not capturing {name}, its baseline image already exists. If you want to capture this element "
                f"again, delete {path}"
            )
        return True

    def _refuse_what_engines_cannot(self, view: View, tolerance: Tolerance) -> None:
        if view.ignore or any(tolerance._replace(threshold=0)):
            raise ScreenshotError(
                f"engine_class is {self.engine_class}, which knows but a threshold: max_diff_pixels, max_diff_ratio, "
                "colour, ignore_antialiasing and ignore= go with the default engine"
            )

    def _compare_with_file(self, view: View, file: IO[bytes], rules: Rules) -> None:
        from testkit.screenshots.needle.files import Brought

        self._files_without_name += 1
        otherwise = f"{'.'.join(self.id().split('.')[-2:])} {self._files_without_name}"
        brought = Brought(file, self._baselines().browser, otherwise=otherwise)
        found = self._judge_view(view, brought.name, "", rules._replace(saves=False), baselines=brought)
        self._fail_for([found])

    def _shoot(self, view: View) -> Shot:
        self._last_shot = shot = super()._shoot(view)
        return shot

    # Folders

    _last_shot: Shot | None = None
    _files_without_name: int = 0

    def _begin_in_browser(self) -> None:
        super()._begin_in_browser()
        cls, environ = type(self), os.environ
        self.output_directory = cls.output_directory or environ.get("NEEDLE_OUTPUT_DIR") or self._default_output()
        self.baseline_directory = cls.baseline_directory or environ.get("NEEDLE_BASELINE_DIR") or self._default_folder()

    def _default_output(self) -> str:
        from testkit.screenshots import results

        return str(results.folder() / "output")

    def _default_folder(self) -> str:
        return str(super()._baselines().home)

    def _baselines(self) -> Baselines:
        found = super()._baselines()
        if self.baseline_directory in (None, self._default_folder()):
            return found
        from testkit.screenshots.needle.files import OneFolder

        return OneFolder(self._of_browser(self.baseline_directory), found.browser, found.platform)

    def _of_browser(self, folder: str) -> Path:
        """Return ``folder``, which is for one browser, or that of this class's browser below it, if it has another."""
        browser = type(self).browser
        place = options.base_folder() / folder
        return place / browser if browser in browsers()[1:] else place


class NeedleTestCase(NeedleMethods, unittest.TestCase):
    """A test case whose screenshots are compared with baselines; Django's test cases go beside it.

    .. code-block:: python

        class CardTest(NeedleTestCase, StaticLiveServerTestCase):
            def test_card(self):
                self.driver.get(self.live_server_url)
                self.assertScreenshot(".book-card", "card")
    """


class AdaptedMethods(NeedleMethods):
    """For the class of the real Needle: what its suites rely on stays as it is there."""

    fresh_context = False
    missing_baselines = "fail"

    def _begin_in_browser(self) -> None:
        super()._begin_in_browser()
        base = options.base_folder()
        if self.output_directory == self._default_output():
            self.output_directory = str(base / "screenshots")
        if self.baseline_directory == self._default_folder():
            self.baseline_directory = str(base / options.current().baselines)  # by default Needle's own folder
