"""The session: from options to one run of tests. The one place where all rooms meet."""

from testkit.session.host import Host
from testkit.session.options import CACHE, GROUPS, RunOptions, resolve_options
from testkit.session.run import Session

__all__ = ["CACHE", "GROUPS", "Host", "RunOptions", "Session", "resolve_options"]
