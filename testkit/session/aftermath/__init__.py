"""After a run: its reports, and how it looked, from its journal; also of a run that was killed.

Nothing here needs the project, its settings or a run: the facts are read again, completed where a kill cut them off,
and given to the listeners that a run has.
"""

from testkit.session.aftermath.completion import completed
from testkit.session.aftermath.journals import RecordedRun, find_run
from testkit.session.aftermath.replay import replay, replay_parser
from testkit.session.aftermath.report import report, report_parser

__all__ = ["RecordedRun", "completed", "find_run", "replay", "replay_parser", "report", "report_parser"]
