"""``assertResponsive``: a page, or a part of it, at every breakpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from testkit.screenshots import options
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.testcase import BrowserMixin
from testkit.screenshots.viewports import DEFAULT, Breakpoint, read_breakpoints

if TYPE_CHECKING:
    from testkit.screenshots.assertion import Approved, Rules
    from testkit.screenshots.baselines import Baselines
    from testkit.screenshots.compare import Tolerance
    from testkit.screenshots.results import Result
    from testkit.screenshots.view import Look, Shot, Target, View

__unittest = True
__tracebackhide__ = True  # pytest's name for it


class ScreenshotMixin(BrowserMixin):
    """What assertions of screenshots have in common."""

    save_baseline: bool = False
    """Whether the screenshots of this class become the baselines, whatever these were."""
    missing_baselines: ClassVar[str] = ""
    """``write`` or ``fail``; empty for what the option of that name says."""

    def _baselines(self) -> Baselines:
        from testkit.screenshots.baselines import Baselines, platform_name
        from testkit.screenshots.browsers import name_of

        capabilities = self.driver.capabilities
        return Baselines(
            options.base_folder() / options.current().baselines,
            name_of(self.driver),
            platform_name(capabilities.get("platformName", "")),
        )

    def _asked(
        self, target: Target, threshold: float, look: Look, *, full_page: bool = True, timeout: float | None = None
    ) -> tuple[View, Rules]:
        """Return what an assertion is to look at, and how it judges that."""
        from testkit.screenshots.compare import Tolerance
        from testkit.screenshots.view import View, parts_of

        wait = options.current().screenshot_timeout if timeout is None else timeout
        ready, tolerated = parts_of(look)
        return View(target, full_page, timeout=wait, **ready), self._rules(Tolerance(threshold, **tolerated).checked())

    def _rules(self, tolerance: Tolerance) -> Rules:
        from testkit.screenshots.assertion import Rules

        wanted = options.current()
        if self.missing_baselines not in ("", "write", "fail"):
            raise ScreenshotError(f"missing_baselines is {self.missing_baselines!r}: give 'write' or 'fail'")
        writes = self.missing_baselines == "write" if self.missing_baselines else wanted.writes_missing
        return Rules(tolerance, self.save_baseline or wanted.with_save_baseline, writes)

    def _judge_view(
        self,
        view: View,
        name: str,
        label: str,
        rules: Rules,
        prepare: Callable[[], None] = lambda: None,
        baselines: Approved | None = None,
    ) -> Result:
        """Compare what ``view`` shows, once ``prepare`` was called, with its baseline.

        That is where ``baselines`` has it; without it, where the class's are.
        """
        from selenium.common.exceptions import WebDriverException

        from testkit.screenshots.assertion import Judge
        from testkit.screenshots.browsers import is_dead
        from testkit.screenshots.settle import settle

        judge = Judge(baselines or self._baselines(), rules, self.id())
        try:
            prepare()
            with settle(self.driver, hide=view.hide, style=view.style, wait_for=view.wait_for, timeout=view.timeout):
                return judge.judge(name, label, lambda: self._shoot(view))
        except (ScreenshotError, WebDriverException, OSError) as error:
            if is_dead(error):
                raise
            return judge.failed(name, label, error)  # the other breakpoints are for the same message

    def _shoot(self, view: View) -> Shot:
        from testkit.screenshots.view import shoot

        return shoot(self.driver, view)

    def _fail_for(self, found: Sequence[Result]) -> None:
        """Fail the test for what is not as it should be, if anything; errors of the page are named with it."""
        from testkit.screenshots.assertion import fail_for
        from testkit.screenshots.pageerrors import describe

        try:
            fail_for(found, len(found))
        except AssertionError as error:
            if errors := self._page_errors():
                error.args = (f"{error}\n\n{describe(errors)}",)
            raise


class ResponsiveScreenshotMixin(ScreenshotMixin):
    """For test cases that look at pages at several breakpoints.

    .. code-block:: python

        class PagesTest(ResponsiveScreenshotMixin, NeedleTestCase, StaticLiveServerTestCase):
            def test_home(self):
                self.driver.get(self.live_server_url)
                self.assertResponsive("html", "home")
    """

    SIZES: ClassVar[Sequence[Any]] = ()
    """Breakpoints of the class: ``(width, height)`` in CSS pixels, ``Breakpoint(…)`` or dicts; empty for the option's."""

    def assertResponsive(
        self,
        target: Target,
        name: str,
        *,
        threshold: float = 0.0,
        full_page: bool = True,
        reload: bool = False,
        sizes: Sequence[Any] = (),
        timeout: float | None = None,
        **look: Unpack[Look],
    ) -> None:
        """Compare ``target`` with its baselines at every breakpoint, and fail once for all that differ.

        Args:
            target: ``"html"`` or None for the whole page; a CSS selector, ``(By.…, value)``, an element or a ``Clip``.
            name: of the baselines: ``home`` is ``<folder>/<browser>-<platform>/home_1024.png`` and so on.
            threshold: how much may differ, in Needle's measure.
            full_page: False for what fits into the window.
            reload: whether to load the page anew at each breakpoint; it is where the locale or time zone changes.
            sizes: breakpoints in the place of those of the class.
            timeout: seconds for the page to come to rest, in the place of the option.
            look: what of :class:`~testkit.screenshots.view.Look` is wanted: ``hide=".advertisement"``.

        Raises:
            AssertionError: a screenshot differs from its baseline, has none and is not to become one, or cannot be taken.
            ScreenshotError: a breakpoint or what is tolerated is none.
        """
        view, rules = self._asked(target, threshold, look, full_page=full_page, timeout=timeout)
        found = []
        with self._viewport_restored():
            for breakpoint in self._breakpoints(sizes):
                prepare = partial(self._have_viewport, breakpoint, reload=reload)
                found.append(self._judge_view(view, name, breakpoint.label, rules, prepare))
        self._fail_for(found)

    def _breakpoints(self, sizes: Sequence[Any] = ()) -> Sequence[Breakpoint]:
        given = sizes or self.SIZES
        if not given:
            return options.current().breakpoints or DEFAULT
        try:
            return read_breakpoints(given)
        except ValueError as error:
            where = "sizes" if sizes else f"SIZES of {type(self).__name__}"
            raise ScreenshotError(f"{where}: {error}") from None

    @contextmanager
    def _viewport_restored(self) -> Iterator[None]:
        """Have the viewport again after the block that it had before."""
        from testkit.screenshots.browsers import state_of

        before = state_of(self.driver).breakpoint or Breakpoint(self.viewport_width, self.viewport_height)
        try:
            yield
        finally:
            self._have_viewport(before)

    def _have_viewport(self, breakpoint: Breakpoint, *, reload: bool = False) -> None:
        """Set the viewport, and load the page again if it was loaded in another language or time zone."""
        from testkit.screenshots.browsers import speaking, state_of
        from testkit.screenshots.capture import set_viewport

        before = state_of(self.driver).breakpoint
        set_viewport(self.driver, breakpoint)
        if reload or breakpoint.at_load != (before.at_load if before else ("", "")):
            with speaking(self.driver):
                self.driver.refresh()
