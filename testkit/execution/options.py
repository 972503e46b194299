"""Options of how tests are run."""

from __future__ import annotations

from testkit.core.options import OptionGroup, option
from testkit.core.readers import one_of


class ExecutionOptions(OptionGroup):
    """How tests are run, how long they may take, and how often they are tried."""

    timeout: float = option(
        default=900.0,
        metavar="SECONDS",
        help="End a test that takes longer; 0 for no limit. A test has its own limit by @testkit.timeout(SECONDS) or "
        'the tag "timeout=SECONDS".',
    )
    slow_after: float = option(
        default=0.0, metavar="SECONDS", help="Tell of each test that has been running for so long; 0 for none."
    )
    run_timeout: float = option(
        default=0.0, metavar="SECONDS", help="End the run when its tests have taken so long; 0 for no limit."
    )
    max_failures: int = option(default=0, metavar="N", help="End the run when N tests have failed; 0 for no limit.")
    retries: int = option(
        default=0,
        metavar="N",
        help="Try a test that failed up to N times again, on another worker where there is one.",
    )
    retry_delay: float = option(
        default=0.0, metavar="SECONDS", help="Wait so long (give or take a half of it) before a test is tried again."
    )
    flaky: str = option(
        default="pass",
        metavar="pass|fail",
        parse=one_of("pass", "fail"),
        help="Whether a test that failed and passed when tried again lets the run pass.",
    )
    repeat: int = option(default=1, metavar="N", help="Run every test N times, and pass if all of them passed.")
    until_fail: bool = option(
        default=False, help="Run the tests again and again until one fails, at most --repeat times if that is given."
    )
    leaks: bool = option(
        default=False,
        help="Name the tests that leave threads, connections, open files, changed settings or environment variables, "
        "or resources unclosed behind.",
    )
    find_pollution: str = option(
        default="",
        metavar="TEST",
        help="Find the tests after which TEST fails, among those that run before it, and print the shortest command.",
    )
    isolate: bool = option(
        default=True,
        help="Give each worker of --parallel caches, a MEDIA_ROOT and a temp folder of its own (--no-isolate: none).",
    )
    start_method: str = option(
        default="auto",
        metavar="auto|fork|spawn|forkserver",
        parse=one_of("auto", "fork", "spawn", "forkserver"),
        help="How the worker processes of --parallel are started; auto is Python's own choice for this machine.",
    )
