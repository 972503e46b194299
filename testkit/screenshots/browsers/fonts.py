"""How letters are drawn is the same on every machine; which fonts there are is the machine's own affair.

On Linux, browsers ask fontconfig how strongly letters are fitted to the grid of pixels, for fonts that a page brings
along as well. Desktops and users have their own ideas of that, and each moves the edges of all letters.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

SYSTEM = Path("/etc/fonts/fonts.conf")
DRAWING = {
    "antialias": "<bool>true</bool>",
    "autohint": "<bool>false</bool>",
    "embeddedbitmap": "<bool>false</bool>",
    "hinting": "<bool>true</bool>",
    "hintstyle": "<const>hintslight</const>",
    "lcdfilter": "<const>lcddefault</const>",
    "rgba": "<const>none</const>",
}
"""What Debian, Fedora and Ubuntu have where nobody has changed it, and so most containers."""


def environment(folder: Path) -> Mapping[str, str]:
    """Write a configuration of fontconfig into ``folder``, and return the variable by which a browser finds it.

    It has the fonts of the machine's own, or of the one that ``FONTCONFIG_FILE`` names.
    """
    own = os.environ.get("FONTCONFIG_FILE") or str(SYSTEM)
    if sys.platform != "linux" or not Path(own).is_file():
        return {}
    edits = "".join(f'<edit name="{name}" mode="assign">{value}</edit>' for name, value in DRAWING.items())
    # A pattern is what is asked for, a font what was found: rules of the machine may be about either.
    matches = "".join(f'<match target="{target}">{edits}</match>' for target in ("pattern", "font"))
    file = folder / "fonts.conf"
    file.write_text(
        f'<?xml version="1.0"?>\n<fontconfig><include>{escape(str(Path(own).absolute()))}</include>{matches}</fontconfig>\n',
        encoding="utf-8",
    )
    return {"FONTCONFIG_FILE": str(file)}
