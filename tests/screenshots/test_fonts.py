"""Letters and dates are alike on all machines: where a font comes late, and whatever fontconfig and language say."""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from testkit.screenshots import browsers
from testkit.screenshots.browsers import fonts
from testkit.screenshots.capture import capture, set_viewport
from testkit.screenshots.settle import settle
from testkit.screenshots.viewports import Breakpoint
from tests.projects import ROOT
from tests.screenshots.web import PAGES, Answer

FIGTREE = ROOT / "sample_project/library/static/library/fonts/figtree-latin-wght-normal.woff2"
BODY = """
<style>
@font-face { font-family: Blocks; src: url(BLOCKS) }
@font-face { font-family: Figtree; src: url(FIGTREE) }
body { font: 16px/1.6 Figtree, Blocks }
select, input { font: inherit; height: 42px; padding: 6px 12px; border: 1px solid gray }
</style>
<p>Rows <select><option>10<option>25</select> <input value="Hxg"> <input type="date" value="2024-02-29"></p>
"""


def inline(font: bytes) -> str:
    """Return an address that has the font itself in it: it is there from the first layout on."""
    return f"data:font/ttf;base64,{b64encode(font).decode()}"


def page(figtree: str) -> str:
    return BODY.replace("BLOCKS", inline((PAGES / "blocks.ttf").read_bytes())).replace("FIGTREE", figtree)


def shot(driver, url: str) -> bytes:
    set_viewport(driver, Breakpoint(500, 300))
    driver.get(url)
    with settle(driver):
        return capture(driver)


def test_controls_look_the_same_whenever_their_font_came(driver, web):
    """A select that was laid out in another font first looks like one that had its font at once."""
    web.give("/figtree.woff2", Answer(FIGTREE.read_bytes(), "font/woff2"))
    late = web.page(page("/figtree.woff2?wait=0.3"), "/late")
    at_once = web.page(page(inline(FIGTREE.read_bytes())), "/at-once")
    assert shot(driver, late) == shot(driver, at_once)


@pytest.mark.skipif(sys.platform != "linux", reason="fontconfig is Linux's")
def test_a_user_s_fontconfig_changes_no_pixel(driver, settings, web, tmp_path, monkeypatch):
    """Hinting and smoothing that a desktop or a user has set are not what a browser of ours draws with."""
    url = web.page(page(inline(FIGTREE.read_bytes())) + "<h1>Larkhill Library</h1>")
    odd = tmp_path / "odd & own.conf"
    odd.write_text(
        "<fontconfig><include>/etc/fonts/fonts.conf</include><match target='font'>"
        "<edit name='hintstyle' mode='assign'><const>hintfull</const></edit>"
        "<edit name='autohint' mode='assign'><bool>true</bool></edit>"
        "<edit name='antialias' mode='assign'><bool>false</bool></edit></match></fontconfig>"
    )
    shots = [shot(driver, url)]
    monkeypatch.setenv("FONTCONFIG_FILE", str(odd))
    for pinned in (True, False):
        if not pinned:
            monkeypatch.setattr(fonts, "environment", lambda folder: {})
        other = browsers.start(settings)
        try:
            shots.append(shot(other, url))
        finally:
            browsers.discard(other)
    assert shots[0] == shots[1]
    assert shots[0] != shots[2]  # without our configuration it would be so


GERMAN = Path("/usr/lib/chromium/locales/de.pak")


@pytest.mark.skipif(not GERMAN.exists(), reason="Chromium speaks no German here: apt-get install chromium-l10n")
def test_a_user_s_language_changes_no_date(settings, monkeypatch):
    """Where the machine's language is German, pages are asked for in English, and dates written so, as elsewhere."""
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LANGUAGE", "de")
    driver = browsers.start(settings)
    try:
        told = driver.execute_script("return [navigator.language, new Date(0).toLocaleDateString()]")
    finally:
        browsers.discard(driver)
    assert told == ["en-US", "1/1/1970"]


def test_without_fontconfig_nothing_is_said(tmp_path, monkeypatch):
    """Where there is no configuration of fontconfig, or no Linux, the environment stays as it is."""
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "absent.conf"))
    assert fonts.environment(tmp_path) == {}
    monkeypatch.setenv("FONTCONFIG_FILE", "")
    monkeypatch.setattr(fonts, "SYSTEM", tmp_path / "absent.conf")
    assert fonts.environment(tmp_path) == {}
    assert os.listdir(tmp_path) == []
    (tmp_path / "own.conf").write_text("<fontconfig/>")
    monkeypatch.setattr(fonts, "SYSTEM", tmp_path / "own.conf")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert fonts.environment(tmp_path) == {}
    monkeypatch.setattr(sys, "platform", "linux")
    file = Path(fonts.environment(tmp_path)["FONTCONFIG_FILE"])
    assert str(tmp_path / "own.conf") in file.read_text()
