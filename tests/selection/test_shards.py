"""Shards are named on the command line or by a CI system, and planned: evenly, wholly, and alike on every machine."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from testkit.core.errors import OptionError
from testkit.selection.durations import Durations
from testkit.selection.plan import FILE_SECONDS, Plan, Source, inputs_hash, plan_classes, plan_sources
from testkit.selection.shards import Shard, ShardOptions, parse_shard, shard_in


def suite(files: int, classes: int, chance: random.Random) -> tuple[list[Source], Durations]:
    """Return sources and durations with test times as uneven as real ones are."""
    known = Durations({}, {})
    for file in range(files):
        for number in range(chance.randint(1, 2 * classes)):
            class_id = f"app.test_{file:03d}.Case{number}"
            for test in range(chance.randint(1, 20)):
                known.tests[f"{class_id}.test_{test}"] = chance.lognormvariate(-4.4, 1.7)
            if chance.random() < 0.3:
                known.fixtures[class_id] = chance.lognormvariate(-1.0, 1.0)
    return [Source(f"app.test_{file:03d}") for file in range(files)], known


def by_shard(plan: Plan) -> dict[int, set[str]]:
    found = defaultdict(set)
    for (_, class_id), shard in plan.classes.items():
        found[shard].add(class_id)
    return found


# Which shard


@pytest.mark.parametrize(("text", "shard"), [("1/1", Shard(1, 1)), ("2/5", Shard(2, 5)), ("05/5", Shard(5, 5))])
def test_a_shard_is_named_by_its_number_and_the_total(text, shard):
    """Two numbers with a slash name a shard, counted from 1."""
    assert parse_shard(text) == shard
    assert ShardOptions.declared["shard"].parse(f" {text} ") == str(shard)


@pytest.mark.parametrize("text", ["", "0/5", "6/5", "2", "/5", "2/", "a/b", "-1/5", "1/0", "1.0/5", "²/5", "1/2/3"])
def test_what_names_no_shard_is_refused(text):
    """Anything else is refused with the form that is accepted."""
    with pytest.raises(ValueError, match="INDEX/TOTAL"):
        ShardOptions.declared["shard"].parse(text)


@pytest.mark.parametrize(
    ("environ", "shard"),
    [
        ({"GITLAB_CI": "true", "CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "5"}, Shard(2, 5)),
        ({"GITLAB_CI": "true", "CI_NODE_TOTAL": "1"}, Shard(1, 1)),
        ({"CIRCLE_NODE_INDEX": "0", "CIRCLE_NODE_TOTAL": "4"}, Shard(1, 4)),
        ({"BUILDKITE_PARALLEL_JOB": "3", "BUILDKITE_PARALLEL_JOB_COUNT": "4"}, Shard(4, 4)),
        ({"TEST_SHARD_INDEX": "1", "TEST_TOTAL_SHARDS": "3"}, Shard(2, 3)),
        (
            {
                "TEST_SHARD_INDEX": "0",
                "TEST_TOTAL_SHARDS": "3",
                "GITLAB_CI": "true",
                "CI_NODE_INDEX": "2",
                "CI_NODE_TOTAL": "5",
            },
            Shard(1, 3),
        ),
    ],
    ids=["GitLab", "GitLab, not parallel", "CircleCI", "Buildkite", "Bazel", "Bazel on GitLab"],
)
def test_ci_systems_name_the_shard(environ, shard):
    """The variables of each CI system name the shard, from 0 or from 1 as that system counts."""
    assert shard_in(environ) == shard


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "5"},
        {"CIRCLE_NODE_INDEX": "4", "CIRCLE_NODE_TOTAL": "4"},
        {"CIRCLE_NODE_TOTAL": "4"},
        {"BUILDKITE_PARALLEL_JOB": "x", "BUILDKITE_PARALLEL_JOB_COUNT": "4"},
    ],
    ids=["nothing", "Heroku's", "out of range", "no index", "no number"],
)
def test_auto_without_usable_variables_is_an_error(environ):
    """Where no system says which shard it is, nothing is guessed: a guess would run tests twice or never."""
    with pytest.raises(OptionError, match="--shard auto"):
        shard_in(environ)


# The plan


@pytest.mark.parametrize("total", [1, 2, 7, 64])
def test_every_class_has_one_shard_and_every_file_an_owner(total):
    """Each class is planned once, each file is loaded by its owner, and no shard is left without tests."""
    sources, known = suite(120, 4, random.Random(total))
    plan = plan_sources(sources, known, total)
    assert plan is not None
    assert {class_id for _, class_id in plan.classes} == {id.rpartition(".")[0] for id in known.tests}
    assert plan.owners.keys() == {source.name for source in sources}
    assert {*plan.classes.values(), *plan.owners.values()} == set(range(1, total + 1))
    for name, owner in plan.owners.items():
        assert name in plan.sources_of(owner)


def test_the_plan_does_not_depend_on_the_order_of_its_inputs():
    """Machines that list folders or write durations in another order make the same plan."""
    chance = random.Random(1)
    sources, known = suite(80, 4, chance)
    shuffled = sources[:]
    chance.shuffle(shuffled)
    tests = list(known.tests.items())
    chance.shuffle(tests)
    plan = plan_sources(sources, known, 8)
    assert plan_sources(shuffled, Durations(dict(tests), known.fixtures), 8) == plan


def test_shards_are_even():
    """With real distributions, the longest shard is at most 5 % longer than the mean, unless one class is."""
    for seed in range(5):
        sources, known = suite(400, 5, random.Random(seed))
        plan = plan_sources(sources, known, 16)
        assert plan is not None
        assert max(plan.loads) <= 1.05 * sum(plan.loads) / 16


def test_foreseen_seconds_count_tests_set_ups_and_imports():
    """A shard's load is the seconds of its tests and set-ups, and of each file that it imports."""
    known = Durations({"m.A.a": 1.0, "m.A.b": 2.0, "n.B.a": 2.0}, {"m.A": 0.5, "n": 4.0})
    plan = plan_sources([Source("m"), Source("n")], known, 2)
    assert plan is not None
    assert sorted(plan.loads) == pytest.approx([3.5 + FILE_SECONDS, 6.0 + FILE_SECONDS])


def test_a_class_with_a_dear_set_up_is_not_taken_for_its_tests_alone():
    """Classes with equal tests are divided by their set-ups."""
    known = Durations({f"m{n}.C.a": 1.0 for n in range(4)}, {"m0.C": 3.0})
    plan = plan_sources([Source(f"m{n}") for n in range(4)], known, 2)
    assert plan is not None
    assert {frozenset(ids) for ids in by_shard(plan).values()} == {
        frozenset({"m0.C"}),
        frozenset({"m1.C", "m2.C", "m3.C"}),
    }


def test_a_module_with_a_dear_set_up_stays_together():
    """Classes of a module whose setUpModule takes long are on one shard, where that leaves the shards even."""
    known = Durations({f"dear.C{n}.a": 1.0 for n in range(4)}, {"dear": 10.0})
    known.tests.update({f"m{n}.C.a": 7.0 for n in range(2)})
    plan = plan_sources([Source("dear"), Source("m0"), Source("m1")], known, 2)
    assert plan is not None
    assert len({shard for (source, _), shard in plan.classes.items() if source == "dear"}) == 1


def test_no_shard_is_empty_for_the_sake_of_a_file():
    """Small classes of one file are divided, although one shard has room for all, if another would have nothing."""
    known = Durations({"big.C.a": 100.0, **{f"small.C{n}.a": 1.0 for n in range(10)}}, {})
    plan = plan_sources([Source("big"), Source("small")], known, 3)
    assert plan is not None
    assert by_shard(plan).keys() == {1, 2, 3}


def test_files_of_which_nothing_is_known_stay_whole_and_are_spread():
    """New files are given out whole, and count like the others."""
    sources, known = suite(40, 3, random.Random(3))
    new = [Source(f"app.test_new_{number}") for number in range(8)]
    plan = plan_sources([*sources, *new], known, 4)
    assert plan is not None
    owners = [plan.owners[source.name] for source in new]
    assert max(map(owners.count, range(1, 5))) <= 4
    for source, owner in zip(new, owners, strict=True):
        assert plan.shard_of(source.name, f"{source.name}.Anything") == owner
        assert [shard for shard in range(1, 5) if source.name in plan.sources_of(shard)] == [owner]


def test_a_new_class_in_a_known_file_belongs_to_its_owner():
    """A class that durations do not know runs on the one shard that owns its file, which imports it."""
    known = Durations({f"m.C{n}.a": 5.0 + n for n in range(6)}, {})
    plan = plan_sources([Source("m")], known, 3)
    assert plan is not None
    owner = plan.shard_of("m", "m.New")
    assert owner == plan.owners["m"]
    assert "m" in plan.sources_of(owner)


def test_what_durations_remember_of_files_that_are_gone_is_ignored():
    """Classes of a deleted file weigh nothing."""
    known = Durations({"m.A.a": 1.0, "n.B.a": 1.0, "gone.C.a": 500.0}, {"gone.C": 100.0})
    plan = plan_sources([Source("m"), Source("n")], known, 2)
    assert plan is not None
    assert {class_id for _, class_id in plan.classes} == {"m.A", "n.B"}
    assert sum(plan.loads) < 3


def test_a_file_whose_recorded_classes_are_gone_is_imported_all_the_same():
    """Only imports can tell what is in a file now, so each has an owner however little it weighs."""
    known = Durations({"m.Gone.a": 0.001, **{f"n{n}.C.a": 1.0 for n in range(6)}}, {})
    plan = plan_sources([Source("m"), *(Source(f"n{n}") for n in range(6))], known, 2)
    assert plan is not None
    assert "m" in plan.sources_of(plan.owners["m"])


def test_too_few_files_and_classes_are_no_plan():
    """Where some shard would have nothing, there is no plan by files: the classes have to be looked at."""
    assert plan_sources([Source("m"), Source("n")], Durations({}, {}), 3) is None
    assert plan_sources([], Durations({}, {}), 1) is None
    assert plan_sources([Source("m")], Durations({"m.A.a": 1.0, "m.B.a": 1.0}, {}), 3) is None
    assert plan_sources([Source("m")], Durations({"m.A.a": 1.0, "m.B.a": 1.0}, {}), 2) is not None


def test_classes_of_packages_are_planned_and_new_ones_still_have_one_shard():
    """Every shard loads a package: its known classes are planned, of the others one shard is agreed upon."""
    known = Durations({"pkg.A.a": 5.0, "pkg.B.a": 5.0, "pkg.base.C.a": 5.0, "pkg.test_m.D.a": 5.0}, {})
    sources = [Source("pkg", is_shared=True), Source("pkg.test_m")]
    plan = plan_sources(sources, known, 3)
    assert plan is not None
    assert plan.classes.keys() == {("pkg", "pkg.A"), ("pkg", "pkg.B"), ("pkg.test_m", "pkg.test_m.D")}
    assert len(set(plan.classes.values())) == 3
    assert plan.owners.keys() == {"pkg.test_m"}
    assert {plan.shard_of("pkg", f"pkg.New{number}") for number in range(50)} == {1, 2, 3}


def test_labels_within_a_module_are_all_that_counts_of_it():
    """When labels name a class and a test, the other tests of their module weigh nothing."""
    known = Durations({"m.A.a": 1.0, "m.A.b": 2.0, "m.B.a": 4.0, "m.B.b": 8.0, "m.AB.a": 16.0}, {})
    plan = plan_sources([Source("m", labels=("m.A", "m.B.a"))], known, 2)
    assert plan is not None
    assert plan.classes.keys() == {("m", "m.A"), ("m", "m.B")}
    assert sorted(plan.loads) == pytest.approx([3.0 + FILE_SECONDS, 4.0 + FILE_SECONDS])


def test_parameters_with_dots_are_no_part_of_a_class():
    """Tests with parameters in their ids count for the class that they are of."""
    known = Durations({"m.A.test (x=1.5)": 1.0, "m.A.test [v2.0.1]": 2.0, "m.B.test": 3.0}, {})
    plan = plan_sources([Source("m")], known, 2)
    assert plan is not None
    assert plan.classes.keys() == {("m", "m.A"), ("m", "m.B")}


def test_classes_are_planned_by_their_tests_when_all_are_known():
    """With the tests at hand, each class is one item; those of which nothing is known count as usual ones."""
    classes = {
        ("m", "m.A"): ["m.A.a", "m.A.b"],
        ("m", "m.New"): ["m.New.a"],
        ("n", "n.B"): ["n.B.a"],
        ("x", "x"): ["x"],
    }
    plan = plan_classes(classes, Durations({"m.A.a": 2.0, "m.A.b": 2.0, "n.B.a": 5.0}, {}), 2)
    assert plan.classes.keys() == classes.keys()
    assert sorted(plan.loads) == pytest.approx([7.0, 8.0], abs=0.01)
    many = plan_classes(classes, Durations({}, {}), 6)
    assert sorted(many.classes.values()) == [1, 2, 3, 4]


def test_the_hash_tells_inputs_apart():
    """The same inputs have the same hash in any order, and each change has another."""
    inputs = {"total": 2, "files": ["a", "b"], "tags": []}
    assert inputs_hash(inputs) == inputs_hash(dict(reversed(inputs.items())))
    for change in ({"total": 3}, {"files": ["a"]}, {"tags": ["slow"]}):
        assert inputs_hash({**inputs, **change}) != inputs_hash(inputs)
