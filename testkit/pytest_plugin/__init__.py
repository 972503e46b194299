"""The front for pytest: a plugin beside pytest-django, which stays in charge of Django and of its fixtures.

pytest loads this module in every project, Django's or not. So it imports nothing but pytest: each part is loaded when
there is something for it to do. ``-p no:testkit`` leaves all of it out.

``command_line`` has the options; ``databases`` makes pytest-django's databases from templates, and guards them;
``queries`` checks budgets. Where listeners are wanted (``--testkit-xunit``, ``--testkit-journal``, …), ``annotate`` adds
to pytest's reports what these do not say, in the processes that run tests, and ``run`` makes facts of them, by
``facts``, in the process that pytest was started as.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from testkit.pytest_plugin.state import State

_MARKER = "max_num_queries"
_SCREENSHOTS = frozenset({"screenshot", "responsive_screenshot"})
_REFUSED = "testkit_refused"
_STATE: pytest.StashKey[State] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    from testkit.pytest_plugin.command_line import add_options

    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", f"{_MARKER}(n, using=None): fail the test if it makes more than n queries (testkit)"
    )
    config.addinivalue_line("markers", "breakpoints(*sizes): of the fixture responsive_screenshot, as (width, height)")
    config.addinivalue_line("markers", "browsers(*names): that the test with screenshots runs in, once in each")
    config.addinivalue_line(
        "markers", "screenshots: the test needs a browser; what uses the fixtures of screenshots has it by itself"
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist starts its workers
def pytest_sessionstart(session: pytest.Session) -> None:
    """Load the parts that have something to do."""
    from testkit.pytest_plugin import command_line

    config = session.config
    if config.option.collectonly or not command_line.is_asked_for(config):
        return
    from testkit.pytest_plugin.state import State

    config.stash[_STATE] = state = State(config)
    from testkit.screenshots.needle.adapter import adapt

    adapt()
    if state.takes_screenshots:
        from testkit.pytest_plugin.screenshots import export_options

        export_options(state.options, config.inipath.name if config.inipath else "pytest's configuration")
    is_controller = config.pluginmanager.has_plugin("dsession")
    if _is_beside_pytest_django(config):
        from testkit.pytest_plugin.databases import DjangoDatabases

        config.pluginmanager.register(DjangoDatabases(state), "testkit-databases")
    if not state.worker:
        _load_listeners(config, state)
    if is_controller or not state.is_told:
        return
    _load_sharding(config, state)
    from testkit.pytest_plugin.annotate import Annotator
    from testkit.queries.options import QueryOptions

    config.pluginmanager.register(Annotator(state), "testkit-annotate")
    if state.options[QueryOptions].has_budgets:
        from testkit.pytest_plugin.queries import Budgets

        config.pluginmanager.register(Budgets(state), "testkit-budgets")
    from testkit.coverage.routes.options import RouteOptions

    if state.options[RouteOptions].has_routes:
        from testkit.pytest_plugin.routes import Routes

        config.pluginmanager.register(Routes(), "testkit-routes")


def _load_listeners(config: pytest.Config, state: State) -> None:
    if state.has_listeners:
        from testkit.pytest_plugin.run import Run

        state.is_told = True
        config.pluginmanager.register(Run(config, state), "testkit-run")


def _load_sharding(config: pytest.Config, state: State) -> None:
    from testkit.selection.shards import ShardOptions

    if state.options[ShardOptions].shard:
        from testkit.pytest_plugin.shards import Sharding

        config.pluginmanager.register(Sharding(state), "testkit-shards")


def _is_beside_pytest_django(config: pytest.Config) -> bool:
    return config.pluginmanager.has_plugin("django") or config.pluginmanager.has_plugin("pytest_django.plugin")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist tells what was collected
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse test cases that would empty a real database, also where it was only them that set Django up."""
    config = session.config
    if "django.test.testcases" not in sys.modules or config.option.collectonly or _is_beside_pytest_django(config):
        return
    from testkit.pytest_plugin.unprovided import why_refused

    why = why_refused(session.items)
    if not why:
        return
    if not hasattr(config, "workeroutput"):
        raise pytest.UsageError(why)
    config.workeroutput[_REFUSED] = why  # for the process of the run, which ends it
    session.items.clear()


# With pytest-xdist


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker what it has to know."""
    state = node.config.stash.get(_STATE, None)
    if state is not None:
        node.workerinput["testkit"] = state.for_worker()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a worker had to tell the user, and end the run if it could not be."""
    if _REFUSED in getattr(node, "workeroutput", {}):
        raise pytest.UsageError(node.workeroutput[_REFUSED])
    state = node.config.stash.get(_STATE, None)
    if state is not None:
        for text in getattr(node, "workeroutput", {}).get("testkit", ()):
            state.notice(text)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    state = session.config.stash.get(_STATE, None)
    if state is not None and state.worker:
        session.config.workeroutput["testkit"] = state.notices  # type: ignore[attr-defined]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    state = config.stash.get(_STATE, None)
    if state is not None and state.notices:
        terminalreporter.section("testkit")
        for text in state.notices:
            terminalreporter.write_line(text)


# Tests


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if item.get_closest_marker(_MARKER) is None:
        return (yield)
    _need_django(f"the marker {_MARKER}")
    from testkit.pytest_plugin.queries import within_its_budget

    with within_its_budget(item):
        return (yield)


@pytest.fixture
def query_budget() -> Callable[..., Any]:
    """``with query_budget(5):`` (or ``query_budget(5, function, …)``) fails for more queries; ``using`` names an alias."""
    _need_django("the fixture query_budget")
    from testkit.queries.assertions import assert_max_num_queries

    return assert_max_num_queries


@pytest.fixture(name="assert_constant_num_queries")
def _assert_constant_num_queries() -> Callable[..., Any]:
    """``assert_constant_num_queries(populate, func)`` fails if ``func()`` needs more queries for more rows (N+1)."""
    _need_django("the fixture assert_constant_num_queries")
    from testkit.queries.assertions import assert_constant_num_queries

    return assert_constant_num_queries


@pytest.fixture(name="assert_no_duplicate_queries")
def _assert_no_duplicate_queries() -> Callable[..., Any]:
    """``with assert_no_duplicate_queries():`` fails if a line asks for the same query again and again."""
    _need_django("the fixture assert_no_duplicate_queries")
    from testkit.queries.assertions import assert_no_duplicate_queries

    return assert_no_duplicate_queries


@pytest.fixture(name="assert_uses_index")
def _assert_uses_index() -> Callable[..., Any]:
    """``assert_uses_index(queryset)`` fails if the query cannot be served by an index."""
    _need_django("the fixture assert_uses_index")
    from testkit.queries.explain import assert_uses_index

    return assert_uses_index


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test with screenshots run once in each browser, if there are several."""
    if "_screenshot_browser" not in metafunc.fixturenames:
        return
    from testkit.pytest_plugin.screenshots import browsers_of

    names = browsers_of(metafunc.definition.iter_markers("browsers"))
    if len(names) > 1:
        metafunc.parametrize("_screenshot_browser", names)


def pytest_itemcollected(item: pytest.Item) -> None:
    if not _SCREENSHOTS.isdisjoint(getattr(item, "fixturenames", ())):
        item.add_marker("screenshots")


@pytest.fixture
def _screenshot_browser(request: pytest.FixtureRequest) -> str:
    from testkit.pytest_plugin.screenshots import browsers_of

    return browsers_of(request.node.iter_markers("browsers"))[0]


@pytest.fixture
def screenshot(request: pytest.FixtureRequest, _screenshot_browser: str) -> Iterator[Any]:
    """``screenshot("home")`` compares what ``screenshot.driver`` shows with its baseline."""
    _need_django("the fixture screenshot")
    from testkit.pytest_plugin.screenshots import Screenshot, opened

    with opened(request, _screenshot_browser) as case:
        yield Screenshot(case)


@pytest.fixture
def responsive_screenshot(request: pytest.FixtureRequest, _screenshot_browser: str) -> Iterator[Any]:
    """``responsive_screenshot("home")`` compares what ``responsive_screenshot.driver`` shows at each breakpoint."""
    _need_django("the fixture responsive_screenshot")
    from testkit.pytest_plugin.screenshots import ResponsiveScreenshot, opened

    with opened(request, _screenshot_browser) as case:
        yield ResponsiveScreenshot(case)


def _need_django(what: str) -> None:
    from testkit.pytest_plugin.command_line import NEEDS_DJANGO, is_django_set_up

    if not is_django_set_up():
        pytest.fail(NEEDS_DJANGO.format(what), pytrace=False)
