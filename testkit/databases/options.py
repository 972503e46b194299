"""Options about databases; this file needs no Django, so that all options are known without."""

from __future__ import annotations

from testkit.core.options import OptionGroup, option
from testkit.databases.hosts import host_patterns


class GuardOptions(OptionGroup):
    """The options of the production guard."""

    safe_database_hosts: tuple[str, ...] = option(
        default=(),
        help="Hosts that are not local but whose databases tests may use; patterns such as *.internal.example.",
        parse=host_patterns,
        command_line=False,
    )
