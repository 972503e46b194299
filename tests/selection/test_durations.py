"""Durations are remembered, blended, and never a reason to fail."""

from __future__ import annotations

import json

import pytest

from testkit.core.events import FixtureFinished, Outcome, RunFinished, TestFinished
from testkit.listeners.durations import DurationsListener
from testkit.selection.durations import Durations, load, remember, save


def test_what_is_saved_is_loaded(tmp_path):
    """Durations come back as they were saved."""
    durations = Durations({"m.C.a": 0.25, 'm.C."\ud800"': 1e-06}, {"m.C": 1.5})
    save(tmp_path / "made" / "durations.json", durations)
    assert json.loads((tmp_path / "made" / "durations.json").read_text())[0] == {"version": 1}
    assert load(tmp_path / "made" / "durations.json") == durations


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        '[{"version":99},\n{}]',
        '[{"version":1},\n{"tests":{"a":1}},\n{"tests":',
        '[{"version":1},\n{"other":{"a":1}},\n{}]',
        '[{"version":1},\n{"tests":{"a":"x"}},\n{}]',
        '[{"version":1},\n{"tests":[]},\n{}]',
        '{"version": 1}',
        '{"version": 1, "tests": {"a": "x"}, "fixtures": {}}',
        "\udcff",
    ],
)
def test_a_file_that_cannot_be_used_is_no_durations(tmp_path, text):
    """A missing, damaged or foreign file counts as no durations."""
    path = tmp_path / "durations.json"
    assert load(path) == Durations({}, {})
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert load(path) == Durations({}, {})


def test_new_figures_are_blended_with_the_old_ones():
    """A new figure counts half, a first one wholly, and what did not run is kept."""
    durations = Durations({"a": 1.0, "kept": 3.0}, {"C": 2.0})
    durations.merge(Durations({"a": 2.0, "new": 5.0}, {"C": 4.0}))
    assert durations == Durations({"a": 1.5, "kept": 3.0, "new": 5.0}, {"C": 3.0})


def test_a_run_of_few_tests_does_not_rewrite_a_large_file(tmp_path):
    """A small file takes every run in; a large one only those that bring a fair part of it."""
    path = tmp_path / "durations.json"
    remember(path, Durations({"a": 1.0}, {}))
    remember(path, Durations({"b": 1.0}, {}))
    assert load(path).tests == {"a": 1.0, "b": 1.0}
    many = {f"app.tests.Case.test_{number:06d}": 1.0 for number in range(10_000)}
    remember(path, Durations(many, {}))
    assert len(load(path).tests) == 10_002
    remember(path, Durations({"c": 1.0}, {}))
    assert "c" not in load(path).tests
    remember(path, Durations({**dict(list(many.items())[:500]), "c": 1.0}, {}))
    assert "c" in load(path).tests


def test_only_what_passed_is_remembered():
    """Seconds of tests that passed and of set-ups are handed over, once, when the run ends."""
    given = []
    listener = DurationsListener(lambda *durations: given.append(durations))
    for name, outcome in (("a", Outcome.PASSED), ("b", Outcome.FAILED), ("c", Outcome.SKIPPED)):
        listener(TestFinished(id=name, class_id="", at=0, seconds=1.0, outcome=outcome))
    listener(FixtureFinished(id="C", phase="setUpClass", at=0, seconds=2.0))
    listener(FixtureFinished(id="D", phase="tearDownClass", at=0, seconds=9.0))
    assert given == []
    listener(RunFinished(at=0, seconds=1.0))
    assert given == [({"a": 1.0}, {"C": 2.0})]
