"""A browser that dies fails no test by itself: the test is tried once more, in another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from testkit.core.current import current, record_property

if TYPE_CHECKING:
    from unittest import TestCase

    _Base = TestCase
else:
    _Base = object

__unittest = True

_PROBLEMS = ("addError", "addFailure", "addExpectedFailure")


class SecondChance(_Base):
    """For test cases whose browser, at ``driver``, may die."""

    driver: Any
    _post_teardown: Any  # Django's
    __unittest_skip__: Any

    def run(self, result: Any = None) -> Any:
        if result is None or type(self).__unittest_skip__:
            return super().run(result)
        first = FirstAttempt(result, self._is_death)
        super().run(first)  # type: ignore[arg-type]
        if first.death is None:
            return result
        try:
            self._begin_again(first.death)
        except Exception:
            result.addError(self, sys.exc_info())
            result.stopTest(self)
        else:
            super().run(LastAttempt(result))  # type: ignore[arg-type]
        return result

    def _is_death(self, error: BaseException) -> bool:
        """Return whether the browser has died of which ``error`` tells; that may be of another connection."""
        from selenium.common.exceptions import WebDriverException

        from testkit.screenshots.browsers import BrowserDied, answers, is_dead

        if not is_dead(error):
            return False
        return isinstance(error, BrowserDied | WebDriverException) or not answers(self.driver)

    def _begin_again(self, death: BaseException) -> None:
        """Start another browser, and have the database as it was when the test began."""
        from testkit.screenshots.assertion import MEASURE
        from testkit.screenshots.browsers import discard

        reason = str(death).partition("\n")[0]
        if (notes := current()) is not None:  # what the first attempt came to is not what the test does
            notes.measures.pop(MEASURE, None)
            notes.attachments.clear()
        record_property("browser_restarted", reason)
        print(f"testkit: the browser died ({reason}): the test begins again, in another one", file=sys.stderr)
        cls = type(self)
        discard(cls.driver)
        cls._open_browser()
        if hasattr(self, "_pre_setup"):  # Django's
            self._post_teardown()
            self._pre_setup()

    @classmethod
    def _open_browser(cls) -> None:
        """Have a browser at ``driver``."""
        raise NotImplementedError


class FirstAttempt:
    """Stands before a test's result and keeps from it that the browser died, and what came of that.

    All else is the result's own. If the test had a problem before the browser died, that is told, and nothing is tried
    again: ``death`` stays None.
    """

    def __init__(self, result: Any, is_death: Callable[[BaseException], bool]) -> None:
        self._result, self._is_death = result, is_death
        self._has_problem = False
        self.death: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._result, name)
        if name in _PROBLEMS:
            return lambda test, error: self._problem(attribute, error, test, error)
        if name == "addSubTest":
            return lambda test, subtest, error: self._problem(attribute, error, test, subtest, error)
        if name in ("addSuccess", "addUnexpectedSuccess", "addSkip", "addDuration", "stopTest"):
            return lambda *args: None if self.death is not None else attribute(*args)
        return attribute

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or name == "death":
            super().__setattr__(name, value)
        else:
            setattr(self._result, name, value)

    def _problem(self, tell: Callable[..., Any], error: Any, *args: Any) -> None:
        if (
            error is not None
            and not self._has_problem
            and self.death is None
            and _is_in_chain(error[1], self._is_death)
        ):
            self.death = error[1]
        if self.death is None:
            self._has_problem = self._has_problem or error is not None
            tell(*args)


class LastAttempt:
    """Stands before the result when the test begins again: it began but once."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._result, name)
        return (lambda test: None) if name == "startTest" else attribute

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_result":
            super().__setattr__(name, value)
        else:
            setattr(self._result, name, value)


def _is_in_chain(error: BaseException | None, is_death: Callable[[BaseException], bool]) -> bool:
    while error is not None:
        if is_death(error):
            return True
        error = error.__cause__
    return False
