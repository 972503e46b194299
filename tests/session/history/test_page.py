"""The page of trends: valid, with every name as text, nothing that runs and nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re

from lxml import etree

from testkit.core.events import Outcome
from testkit.core.results import Result, RunRecord
from testkit.session.history.page import render
from testkit.session.history.trends import trends_of
from tests.session.comparison.made import NASTY

NASTIER = f'{NASTY}"><script>alert(2)</script></title></style><img src=x onerror=alert(3)> {{{{ count }}}} {{% now %}} '
RUNS = [
    RunRecord(
        NASTIER,
        86_400.0 * number,
        10.0,
        {
            NASTIER: Result(Outcome.FAILED if number == 3 else Outcome.PASSED, bad=number == 3, seconds=0.1),
            "a.slow": Result(Outcome.PASSED, seconds=0.1 if number < 6 else 0.9),
            **{f"a.o{other}": Result(Outcome.PASSED, seconds=0.2) for other in range(30)},
            **({"a.skipped": Result(Outcome.SKIPPED)} if number else {}),
            **{f"b.bad{other}": Result(Outcome.ERROR, bad=1) for other in range(5)},
        },
        NASTIER,
        NASTIER,
        True,
    )
    for number in range(12)
]


def page(most=20):
    text = render(trends_of(RUNS), most)
    return text, etree.fromstring(text, etree.HTMLParser())


def test_every_name_is_text():
    """No element, attribute or style of the page comes from a name, a commit or a branch; each is shown."""
    text, root = page()
    assert {element.tag for element in root.iter() if isinstance(element.tag, str)} == {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "span", "main", "section", "figure",
        "figcaption", "small", "code", "svg", "rect",
    }  # fmt: skip
    attributes = {name for element in root.iter() if isinstance(element.tag, str) for name in element.attrib}
    assert not {name for name in attributes if name.startswith("on") or name in ("style", "src", "href")}
    names = [element.text for element in root.iter("code")]
    assert any("<script>alert(2)</script>" in name and "{{ count }}" in name for name in names)
    assert not re.search("[\x00-\x08\x0e-\x1f\u202e\ud800-\udfff]", text)


def test_the_policy_allows_its_own_style_alone():
    """The content security policy has the hash of the style that the page has, and allows nothing else."""
    text, root = page()
    style = next(root.iter("style")).text
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [meta.get("content") for meta in root.iter("meta") if meta.get("http-equiv")]
    allowed = [directive for directive in policy.split("; ") if not directive.endswith("'none'")]
    assert allowed == [f"style-src 'sha256-{digest}'", "require-trusted-types-for 'script'"]
    assert "default-src 'none'" in policy
    assert "light-dark(" in style
    assert "http" not in text.replace("http-equiv", "").replace("http://h", "")


def test_plots_have_a_bar_for_each_run():
    """The suite and each test have a bar for each run that they were in, coloured by what became of them."""
    _, root = page()
    plots = list(root.iter("svg"))
    assert [len(list(plot.iter("rect"))) for plot in plots[:4]] == [12] * 4
    assert [plot.get("aria-label").partition(":")[0] for plot in plots[:4]] == ["Seconds", "Tests", "Failed", "Flaky"]
    nasty = next(plot for plot in plots if "alert(2)" in plot.get("aria-label"))
    assert [rect.get("class") for rect in nasty.iter("rect")] == ["passed"] * 3 + ["failed"] + ["passed"] * 8
    slow = next(plot for plot in plots if plot.get("aria-label").startswith("a.slow:"))
    heights = [float(rect.get("height")) for rect in slow.iter("rect")]
    assert heights[0] == 60 / 9 or abs(heights[0] - 60 / 9) < 0.01
    assert heights[-1] == 60


def test_chosen_tests_are_shown_whatever_became_of_them():
    """With tests that were asked for, the page has their plots, good ones as well."""
    text = render(trends_of(RUNS, ["a.o7"]), 20, chosen=True)
    assert "<h2>Tests: 1</h2>" in text
    assert "<code>a.o7</code>" in text


def test_a_page_is_bounded():
    """Of many tests the first are plotted, and the others counted."""
    text, _ = page(most=2)
    assert "<h2>Failed: 6</h2>" in text
    assert "<p>The first 2 of 6.</p>" in text
