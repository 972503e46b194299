"""The xunit file: what a CI system reads, in the dialect that JUnit's readers share.

Two flavours, since no one file serves all readers: "default" says all that they know what to do with (file, line, time
stamps, properties); "strict" is valid by the schema of Jenkins' xunit plugin (``junit-10.xsd``), which rejects a whole
file for an attribute that it does not know. A third, "classic", is the layout of unittest-xml-reporting.
"""

from __future__ import annotations

from pathlib import Path

from testkit.core.bus import Listener
from testkit.core.options import OptionGroup, option
from testkit.core.readers import one_of


class XunitOptions(OptionGroup):
    """Options of the xunit file."""

    with_xunit: bool = option(default=False, help="Write an xunit (JUnit XML) file for CI systems.")
    xunit_file: Path = option(
        default=Path("reports/xunit.xml"),
        help="Where the xunit file goes (classic: the folder of this file).",
        metavar="FILE",
    )
    xunit_flavour: str = option(
        default="default",
        help="default: with file, line and properties; strict: valid by Jenkins' junit-10.xsd; "
        "classic: TEST-<class>.xml files, made by unittest-xml-reporting.",
        parse=one_of("default", "strict", "classic"),
        metavar="default|strict|classic",
    )

    @property
    def place(self) -> Path:
        """Where the report is found: the file, or the folder of the classic flavour's files."""
        return self.xunit_file.parent if self.xunit_flavour == "classic" else self.xunit_file


def xunit_listener(options: XunitOptions) -> Listener:
    """Return the listener for the flavour that ``options`` name.

    Raises:
        TestkitError: the classic flavour is wanted and unittest-xml-reporting is not installed.
    """
    # Imported when wanted: most runs on a developer's machine write no file.
    if options.xunit_flavour == "classic":
        from testkit.listeners.xunit.classic import XunitClassic

        return XunitClassic(options.xunit_file.parent)
    from testkit.listeners.xunit.document import Xunit

    return Xunit(options.xunit_file, strict=options.xunit_flavour == "strict")
