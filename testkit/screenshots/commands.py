"""What is done with the screenshots of the last run from a command line: ``python -m testkit screenshots …``."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from testkit.core.errors import ExitStatus, TestkitError
from testkit.core.text import visible
from testkit.screenshots import baselines, options
from testkit.screenshots.errors import ScreenshotError
from testkit.screenshots.results import State
from testkit.screenshots.review.page import write_page
from testkit.screenshots.review.shots import APPROVED, FAILING, Shot, matching, read_shots, target_of
from testkit.screenshots.review.shots import approve as approve_shot
from testkit.screenshots.review.views import note_of
from testkit.screenshots.review.wholeness import gaps_of

Say = Callable[[str], None]
_STATES = (*State, APPROVED)
_NAMED = 10  # of many things of a kind, in a message


def approve(folder: Path, patterns: Sequence[str], say: Say, *, dry_run: bool = False) -> ExitStatus:
    """Make the new images that ``patterns`` fit baselines (all, without a pattern), and say which these were.

    Raises:
        ScreenshotError: there is no run, a pattern fits nothing, or images could not be taken.
    """
    shots = read_shots(folder)
    for pattern in patterns:
        if not matching(shots, [pattern]):
            raise ScreenshotError(f"no screenshot of the last run is called {pattern!r}{_nearest(pattern, shots)}")
    wanted = [shot for shot in matching(shots, patterns) if shot.can_be_approved]
    refused = []
    for shot in wanted:
        try:
            path = target_of(shot) if dry_run else approve_shot(shot)
            say(f"{'would approve' if dry_run else 'approved'}  {_shown(path)}")
        except TestkitError as error:
            refused.append(str(error))
    if not wanted:
        say("Nothing to approve: the baselines are what the browser showed.")
    elif not dry_run and len(refused) < len(wanted):
        say(f"{_count(len(wanted) - len(refused), 'new baseline')}. Commit them with the change that they belong to.")
        write_page(folder)
    if refused:
        raise ScreenshotError("\n  ".join([f"{_count(len(refused), 'screenshot')} not approved:", *refused]))
    return ExitStatus.PASSED


def _nearest(pattern: str, shots: Iterable[Shot]) -> str:
    names = sorted({shot.result.name for shot in shots})
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.5)
    return f": did you mean {' or '.join(near)}?" if near else f"; it has {_some(names)}"


def status(folder: Path, say: Say, *, everything: bool = False) -> ExitStatus:
    """Say what the last run's comparisons came to, and return TESTS_FAILED if some of them wait for a decision.

    Args:
        folder: of the results.
        say: is given the lines.
        everything: whether screenshots that are as they should be are listed, too.

    Raises:
        ScreenshotError: there is no run.
    """
    shots = read_shots(folder)
    rows = [(shot.state, shot) for shot in shots]
    shown = [row for row in rows if everything or row[0] not in (State.PASSED, APPROVED)]
    table = [(state, visible(shot.title), shot.browser, _remark(shot)) for state, shot in sorted(shown, key=_order)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    counts = Counter(state for state, _ in rows)
    say(", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state]))
    page = write_page(folder) or folder
    waiting = sum(counts[state] for state in FAILING)
    if waiting:
        say(f"{_count(waiting, 'screenshot')} to review: {_shown(page)}, or python -m testkit screenshots review")
    return ExitStatus.TESTS_FAILED if waiting else ExitStatus.PASSED


def _order(row: tuple[str, Shot]) -> tuple[int, str]:
    return _STATES.index(row[0]), row[1].result.name


def _remark(shot: Shot) -> str:
    return visible(note_of(shot) or " ".join(shot.result.message.split()))


def prune(folder: Path, say: Say, *, yes: bool = False, run_was_whole: bool = False) -> ExitStatus:
    """Say which baselines no test asked for in the last run, and remove them if ``yes``.

    Only browsers that the run used are looked at: the baselines of others are none of its business.

    Raises:
        ScreenshotError: the run was not one of all tests, or some of them did not come to their end.
    """
    shots = read_shots(folder)
    gaps = [] if run_was_whole else gaps_of(folder)
    if gaps:
        raise ScreenshotError("\n  ".join(["which baselines nobody needs cannot be told from the last run:", *gaps]))
    place = options.base_folder() / options.current().baselines
    orphans, passed_over = _orphans(shots, place)
    for path in orphans:
        if yes:
            path.unlink(missing_ok=True)
            _remove_empty(path.parent, place)
        say(f"{'removed' if yes else 'orphan'}  {_shown(path)}")
    if passed_over:
        say(f"Left alone, as the run had no such browser: {_some(passed_over)}")
    if not orphans:
        say("No orphans: a test asked for each baseline.")
    elif not yes:
        say(f"{_count(len(orphans), 'baseline')} no test asked for; --yes removes them.")
    return ExitStatus.PASSED


def _orphans(shots: Iterable[Shot], place: Path) -> tuple[list[Path], list[str]]:
    """Return the baselines in ``place`` that no shot has, and the folders of browsers of which there is no shot.

    Suites of Needle itself have no such folders: what lies in ``place`` itself is looked at where a shot's lies there, too.
    """
    root = place.resolve()
    asked = {shot.baseline.resolve() for shot in shots if shot.result.baseline}
    used = {_browser_of(path.relative_to(root)) for path in asked if path.is_relative_to(root)}
    orphans, passed_over = [], set()
    for path in baselines.files_in(place):
        browser = _browser_of(path.relative_to(place))
        if browser not in used:
            passed_over.add(browser)
        elif path.resolve() not in asked:
            orphans.append(path)
    return orphans, sorted(filter(None, passed_over))


def _browser_of(path: Path) -> str:
    return path.parts[0] if len(path.parts) > 1 else ""


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and folder.is_relative_to(root) and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def review(folder: Path, say: Say, *, port: int = 0, opens: bool = False) -> ExitStatus:
    """Serve the review page until Ctrl-C.

    Args:
        folder: of the results.
        say: is given the address, and each baseline that was approved.
        port: of 127.0.0.1; 0 for any that is free.
        opens: whether the default browser is to open it.

    Raises:
        ScreenshotError: there is no run, or the port cannot be had.
    """
    from testkit.screenshots.review.server import ReviewServer

    waiting = sum(shot.can_be_approved for shot in read_shots(folder))
    with ReviewServer(folder, port, told=lambda path: say(f"approved  {_shown(path)}")) as server:
        say(f"{_count(waiting, 'screenshot')} to review at\n\n    {server.address}\n\nCtrl-C ends this.")
        try:
            if opens:
                import webbrowser

                webbrowser.open(server.address)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say("")
    write_page(folder)
    return ExitStatus.PASSED


def _shown(path: Path) -> str:
    return visible(options.from_base(path))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(visible, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")
