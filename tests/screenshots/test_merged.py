"""``testkit merge``: the screenshots of all shards are reviewed, approved and asked about as those of one run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from testkit.core.events import RunMeasured, TestFinished
from testkit.screenshots import results
from testkit.screenshots.review.wholeness import gaps_of
from tests.projects import Project
from tests.screenshots.reviewed import png
from tests.test_shards_run import run_shards

# Pictures as a browser would give them; all else is what an assertion does.
PICTURES = """
from pathlib import Path
from django.test import SimpleTestCase, tag
from testkit.screenshots import options
from testkit.screenshots.assertion import Judge, Rules, fail_for
from testkit.screenshots.baselines import Baselines
from testkit.screenshots.view import Shot

@tag("screenshots")
class {name}Test(SimpleTestCase):
    def compare(self, name):
        image = Path(f"pictures/{{name}}.png").read_bytes()
        baselines = Baselines(options.base_folder() / options.current().baselines, "chromium", "linux")
        judge = Judge(baselines, Rules(writes_missing=False), self.id())
        fail_for([judge.judge(name, "320", lambda: Shot(image))], 1)

    def test_changed(self):
        self.compare("{name}")

    def test_same(self):
        self.compare("{name}_same")
"""
NAMES = ("Home", "Card")
OLD, NEW = png(), png(spot=(2, 2))


def baseline(project: Project, name: str) -> Path:
    return project.folder / f"screenshots/baseline/chromium-linux/{name}.png"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a project whose two shards have found a changed picture each."""
    project = Project(tmp_path_factory.mktemp("prepared") / "project")
    for folder in ("pictures", "screenshots/baseline/chromium-linux"):
        (project.folder / folder).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        project.tests(PICTURES.format(name=name), module=f"test_{name.lower()}")
        (project.folder / f"pictures/{name}.png").write_bytes(png(spot=(2, 2 + number)))
        (project.folder / f"pictures/{name}_same.png").write_bytes(OLD)
        for baselines in (name, f"{name}_same"):
            baseline(project, f"{baselines}_320").write_bytes(OLD)
    assert run_shards(project, 2, "--with-needle") == [1, 1]
    return project.folder


@pytest.fixture
def sharded(prepared: Path, tmp_path: Path) -> Project:
    """The project with its shards, in a folder of its own: on another machine, so to say."""
    project = Project.__new__(Project)
    project.folder = tmp_path / "elsewhere"
    shutil.copytree(prepared, project.folder)
    return project


def test_the_screenshots_of_all_shards_are_those_of_one_run(sharded: Project) -> None:
    """One page has what each shard found, the closing lines count it once, and attachments are the page's own images.

    What an earlier run has left on a shard's machine is not among them.
    """
    left = results.Result("Left", "320", "chromium", results.State.CHANGED, at=1.0)
    (sharded.folder / "shards/1/screenshots/results/1.jsonl").write_text(json.dumps(left._asdict()) + "\n")
    merged = sharded.run("merge", "shards")
    assert merged.returncode == 1
    assert merged.stderr.count("Screenshots:") == 1
    assert "Screenshots: 2 passed, 2 changed" in merged.stderr
    assert re.search(r"screenshots +reports/screenshots/index.html", merged.stderr)
    place = sharded.folder / "reports/screenshots"
    found = {result.name: result for result in results.read(place)}
    assert set(found) == {"Home", "Card", "Home_same", "Card_same"}
    page = (place / "index.html").read_text()
    for name in NAMES:
        assert (place / found[name].diff).is_file()
        assert f'src="{found[name].new}"' in page
        assert found[name].baseline == f"screenshots/baseline/chromium-linux/{name}_320.png"
    facts = sharded.facts()
    attached = [path for fact in facts if isinstance(fact, TestFinished) for path in fact.attachments]
    assert sorted(attached) == sorted(
        f"reports/screenshots/{path}"
        for name in NAMES
        for path in (found[name].before, found[name].new, found[name].diff)
    )
    assert not list(sharded.folder.glob("reports/shard-*"))
    section = [fact.data for fact in facts if isinstance(fact, RunMeasured) and fact.section == "screenshots"][-1]
    assert (section["passed"], section["changed"]) == (2, 2)


def test_what_was_merged_is_approved_and_asked_about(sharded: Project) -> None:
    """New images of every shard become baselines; and orphans are told, as all tests of all shards are known."""
    sharded.run("merge", "shards")
    assert gaps_of(sharded.folder / "reports/screenshots") == [
        (
            "tests with screenshots were skipped or did not pass: "
            "shop.tests.test_card.CardTest.test_changed, shop.tests.test_home.HomeTest.test_changed"
        )
    ]
    told = sharded.run("screenshots", "approve")
    assert told.returncode == 0
    assert "2 new baselines" in told.stdout
    assert [baseline(sharded, f"{name}_320").read_bytes() for name in NAMES] == [NEW, png(spot=(2, 3))]
    assert sharded.run("screenshots", "status").returncode == 0
    assert run_shards(sharded, 2, "--with-needle") == [0, 0]
    assert gaps_of(sharded.folder / "shards/1/screenshots") == ["it was a shard: ask after the merge of all"]
    assert sharded.run("merge", "shards").returncode == 0
    baseline(sharded, "old_320").write_bytes(OLD)
    assert sharded.run("screenshots", "prune").stdout == (
        "orphan  screenshots/baseline/chromium-linux/old_320.png\n1 baseline no test asked for; --yes removes them.\n"
    )


def test_screenshots_that_did_not_come_are_missed(sharded: Project) -> None:
    """A shard whose images are not in its artifact is named, and no baseline is taken for an orphan of it."""
    shutil.rmtree(sharded.folder / "shards/2/screenshots")
    merged = sharded.run("merge", "shards")
    assert "the screenshots of shard 2/2 are not reviewed: shards/2 has none; keep all of reports/" in merged.stderr
    assert len(results.read(sharded.folder / "reports/screenshots")) == 2
    assert "1 of 2 shards ran without --with-needle, or came without their screenshots" in (
        gaps_of(sharded.folder / "reports/screenshots")
    )


IN_BROWSER = """
from django.test import SimpleTestCase
from testkit import NeedleTestCase

class PageTest(NeedleTestCase, SimpleTestCase):
    viewport_width, viewport_height = 320, 240

    def test_it(self):
        self.driver.load_html("<p>Page")
        self.assertScreenshot("html", "page")
"""


def test_what_a_real_browser_showed_on_a_shard_is_merged(sharded: Project, chromium: object) -> None:
    """A page without a baseline is approved after the merge as the browser made it, beside the other shard's picture."""
    (sharded.folder / "shop/tests/test_home.py").unlink()
    sharded.tests(IN_BROWSER, module="test_page")
    assert run_shards(sharded, 2, "--with-needle", CI="true") == [1, 1]
    assert "Screenshots: 1 passed, 1 changed, 1 missing" in sharded.run("merge", "shards").stderr
    assert "2 new baselines" in sharded.run("screenshots", "approve").stdout
    with Image.open(baseline(sharded, "page")) as image:
        assert image.size == (320, 240)
