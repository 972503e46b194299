"""Every unit runs once, the longest first, as the database and the resources allow, and the workers end together."""

from __future__ import annotations

import heapq
import random
import time
from collections import Counter

import pytest

from testkit.selection.durations import Durations
from testkit.selection.order import (
    FRESH,
    Kind,
    Queue,
    Unit,
    default_seconds,
    expected_seconds,
    set_up_seconds,
    split_long,
)


def unit(key, seconds=1.0, kind=Kind.NEEDS_ROWS, tests=1, **fields):
    return Unit(key, tuple((f"{key}.test_{number}", 0) for number in range(tests)), seconds, kind=kind, **fields)


def changing(key, seconds=1.0, **fields):
    return unit(key, seconds, Kind.CHANGES_ROWS, **fields)


def neutral(key, seconds=1.0, **fields):
    return unit(key, seconds, Kind.NEUTRAL, **fields)


def lease(queue, worker="1", now=0.0, others=0):
    """Return the keys of the units that ``worker`` gets, or FRESH."""
    leased = queue.lease(worker, now, others)
    return leased if leased is FRESH else [unit.key for unit in leased]


def all_leases(queue, worker="1"):
    """Return what one worker gets until there is nothing more."""
    found = []
    while keys := lease(queue, worker):
        if keys is FRESH:
            queue.renewed(worker)
        found.append(keys)
    return found


# What comes first


def test_the_longest_comes_first():
    """A worker gets the longest unit that is left; among equal ones that of Django's order."""
    queue = Queue([unit("a", 1.0), unit("b", 3.0), unit("c", 3.0), unit("d", 2.0)], 2)
    assert all_leases(queue) == [["b"], ["c"], ["d"], ["a"]]


def test_a_shuffled_run_keeps_its_order():
    """Without longest_first units come as they were given, and what is tried again behind all others of its rank."""
    queue = Queue([unit("a", 1.0), unit("b", 3.0)], 1, longest_first=False)
    queue.add(unit("a", 9.0, attempt=2))
    assert all_leases(queue) == [["a"], ["b"], ["a"]]


@pytest.mark.parametrize("longest_first", [True, False])
def test_a_rank_goes_before_the_length(longest_first):
    """Units of a small rank (those that failed last time) come first, of whatever kind, even if they are short."""
    units = [unit("a", 3.0, rank=1), neutral("b", 2.0, rank=1), changing("c", 0.1, rank=0), unit("d", 0.1, rank=0)]
    queue = Queue(units, 2, longest_first=longest_first)
    assert {lease(queue, "1")[0], lease(queue, "2")[0]} == {"c", "d"}


def test_one_worker_runs_the_kinds_in_djangos_order():
    """One worker alone has the units that change rows at the end, and so never needs a fresh database."""
    queue = Queue([changing("t", 9.0), neutral("n", 2.0), unit("c", 1.0)], 1)
    assert all_leases(queue) == [["n"], ["c"], ["t"]]


def test_a_long_unit_that_changes_rows_begins_at_once():
    """One that alone takes a worker's share does not wait until no unit is left that needs rows."""
    queue = Queue([unit("a", 1.0), unit("b", 1.0), changing("long", 9.0), changing("short", 0.5)], 2)
    assert (lease(queue, "1"), lease(queue, "2")) == (["long"], ["a"])


# Django's rule


def test_who_changed_rows_gets_nothing_that_needs_them():
    """A worker that changed rows gets other units until it is renewed, however long the one is that needs rows."""
    queue = Queue([changing("a"), changing("b", 0.1), neutral("n", 0.1), unit("c", 0.2), unit("d", 0.2)], 2)
    assert lease(queue, "1") == ["a"]
    assert [lease(queue, "1"), lease(queue, "1")] == [["b"], ["n"]]
    assert lease(queue, "1") == []  # a fresh database would cost more than it saves: the other worker is still fresh
    queue.renewed("1")
    assert lease(queue, "1") == ["c"]


def test_the_last_fresh_worker_is_not_spoilt():
    """While units need rows, the last worker whose database is fresh gets none that changes it."""
    queue = Queue([changing("a", 10.0), changing("b", 9.0), unit("c", 0.1), unit("d", 0.1)], 2)
    assert [lease(queue, "1"), lease(queue, "2")] == [["a"], ["c"]]
    assert [lease(queue, "2"), lease(queue, "2")] == [["d"], ["b"]]


def test_a_worker_begins_anew_when_no_other_could_run_what_is_left():
    """When all workers have changed rows, one that needs them is given to a renewed worker."""
    queue = Queue([changing("a"), changing("b")], 2)
    assert [lease(queue, "1"), lease(queue, "2")] == [["a"], ["b"]]
    queue.add(unit("c", 0.01))
    assert lease(queue, "1") is FRESH
    queue.renewed("1")
    assert lease(queue, "1") == ["c"]


@pytest.mark.parametrize(("seconds", "expected"), [(0.1, []), (1.0, FRESH)])
def test_a_worker_begins_anew_if_that_saves_more_than_it_costs(seconds, expected):
    """With another worker still fresh, a fresh database is made only if the units left are worth it."""
    queue = Queue([changing("a", 9.0), *(unit(f"u{number}", seconds) for number in range(4))], 2, fresh_seconds=0.5)
    assert lease(queue, "1") == ["a"]
    assert lease(queue, "2") == ["u0"]
    assert lease(queue, "1") == expected


def test_one_worker_begins_anew_for_one_unit():
    """Of many idle workers only one gets a fresh database for a single short unit, not all at the same time."""
    workers = [str(number) for number in range(8)]
    queue = Queue([changing(f"c{worker}", 9.0) for worker in workers], 8)
    for worker in workers:
        lease(queue, worker)
    queue.add(unit("again", 0.1, attempt=2, avoid="0"))
    answers = [lease(queue, worker, others=7) for worker in workers]
    assert answers == [[], FRESH, [], [], [], [], [], []]
    queue.renewed("1")
    assert lease(queue, "1", others=7) == ["again"]


def test_a_worker_that_does_not_come_back_is_not_waited_for():
    """One that was to begin anew, and ended for good while nothing was left, holds back no fresh database later."""
    queue = Queue([changing("a", 9.0), changing("b", 9.0)], 2)
    lease(queue, "1"), lease(queue, "2")
    queue.add(unit("c", 0.1))
    assert lease(queue, "1") is FRESH
    queue.take_out()  # and 1 does not come back
    queue.add(unit("d", 0.1, attempt=2))
    assert lease(queue, "2") is FRESH


# Resources, and what is tried again


def test_no_more_units_than_slots():
    """Units of one resource run at most as often at the same time as it has slots, and others meanwhile."""
    queue = Queue([unit(key, 9.0, resources={"browser": 2}) for key in "abc"] + [unit("d")], 4)
    first = queue.lease("1", 0.0, 3)
    assert [lease(queue, "2"), lease(queue, "3"), lease(queue, "4")] == [["b"], ["d"], []]
    queue.release(first)
    assert lease(queue, "4") == ["c"]


def test_a_unit_with_several_resources_waits_for_all():
    """A unit takes and gives back a slot of each of its resources."""
    queue = Queue([unit("a", 3.0, resources={"x": 1}), unit("b", 2.0, resources={"x": 1, "y": 1})], 2)
    first = queue.lease("1", 0.0, 1)
    assert lease(queue, "2") == []
    queue.release(first)
    second = queue.lease("2", 0.0, 1)
    queue.add(unit("c", resources={"y": 1}))
    assert lease(queue, "1") == []
    queue.release(second)
    assert lease(queue, "1") == ["c"]


def test_another_worker_is_preferred():
    """What is to avoid a worker is for the others, unless there are none."""
    queue = Queue([unit("a", avoid="1", attempt=2)], 2)
    assert lease(queue, "1", others=1) == []
    assert lease(queue, "1", others=0) == ["a"]


def test_what_waits_is_not_had_before_its_time():
    """A unit with a time comes when it is due, and others come before."""
    queue = Queue([unit("a", 9.0, not_before=5.0), unit("b", 1.0)], 1)
    assert [lease(queue, now=4.9), lease(queue, now=4.9), lease(queue, now=5.0)] == [["b"], [], ["a"]]


# Leases of several units


def test_short_units_go_together():
    """A lease has as many units as take least_seconds, all of one kind and attempt, and towards the end fewer."""
    units = [unit(f"u{number}", 0.25) for number in range(40)] + [changing("t", 0.25)]
    sizes = list(map(len, all_leases(Queue(units, 1, least_seconds=1.0))))
    assert sizes[0] == 4
    assert sizes[-1] == 1
    assert sum(sizes) == 41
    assert sizes[:-1] == sorted(sizes[:-1], reverse=True)


def test_units_do_not_go_together_that_must_not():
    """What needs a resource, is tried again, waits or avoids the worker is not put into a lease with others."""
    units = [unit(f"u{number}", 0.1) for number in range(20)]
    odd = [
        unit("resource", 0.05, resources={"x": 1}),
        unit("again", 0.05, attempt=2),
        unit("waits", 0.05, not_before=9.0),
        unit("avoids", 0.05, avoid="1"),
        changing("changes", 0.05),
    ]
    queue = Queue([*units, *odd], 1, least_seconds=100.0)
    assert set(lease(queue, others=1)) <= {each.key for each in units}


def test_units_of_no_time_are_a_lease_each():
    """With no durations to go by at all a lease is one unit."""
    assert all_leases(Queue([unit("a", 0.0), unit("b", 0.0)], 1, least_seconds=1.0)) == [["a"], ["b"]]


# Taking out


def test_the_units_of_a_class_are_taken_out():
    """All pieces of a class are taken out, of whatever kind, and the others stay."""
    queue = Queue([unit("a", 1.0), unit("a", 2.0), changing("a"), unit("b")], 2)
    assert [each.seconds for each in queue.take_out("a")] == [2.0, 1.0, 1.0]
    assert len(queue) == 1
    assert [each.key for each in queue.take_out()] == ["b"]
    assert len(queue) == 0
    assert lease(queue) == []


# Durations and splitting


def test_expected_seconds():
    """Tests are taken for their durations, or else the mean of those known, and set-ups for theirs, or nothing."""
    known = Durations({"m.C.a": 1.0, "m.C.b": 2.0, "other": 99.0}, {"m.C": 0.5})
    default = default_seconds(["m.C.a", "m.C.b", "m.C.new"], known)
    assert default == 1.5
    assert expected_seconds(["m.C.a", "m.C.new"], ["m.C", "m"], known, default) == 1.0 + 1.5 + 0.5
    assert set_up_seconds(["m.C", "m"], known) == 0.5
    assert 0 < default_seconds(["m.C.new"], known) < 1


def test_a_long_unit_is_split():
    """A unit longer than a worker's share becomes pieces that have all of its tests once, in their order."""
    long = unit("a", 40.0, tests=40, whole=False, rank=3, resources={"x": 1})
    pieces = split_long([long, unit("b")], 4, lambda id: 1.0)
    assert pieces[-1] == unit("b")
    del pieces[-1]
    assert sorted(test for piece in pieces for test in piece.tests) == sorted(long.tests)
    for piece in pieces:
        places = [long.tests.index(test) for test in piece.tests]
        assert places == sorted(places)
        assert piece.seconds == len(piece.tests)
        assert (piece.key, piece.rank, piece.resources) == ("a", 3, {"x": 1})
    assert max(piece.seconds for piece in pieces) <= 41 / 4


@pytest.mark.parametrize(
    ("fields", "workers"),
    [({"whole": True}, 4), ({"whole": False}, 1), ({"whole": False, "tests": 1}, 4)],
    ids=["whole", "one worker", "one test"],
)
def test_a_unit_that_stays_whole(fields, workers):
    """What shares a state, has one test, or has one worker to run it is not split."""
    long = unit("a", 40.0, **{"tests": 40, **fields})
    assert split_long([long, unit("b")], workers, lambda id: 1.0) == [long, unit("b")]


def test_an_expensive_set_up_is_not_paid_often():
    """The pieces of a unit whose set-up takes long are few, and each counts it in."""
    long = unit("a", 40.0, tests=20, whole=False, set_up=20.0)
    assert split_long([long], 8, lambda id: 1.0) == [long]
    long = unit("a", 24.0, tests=20, whole=False, set_up=4.0)
    assert [piece.seconds for piece in split_long([long], 8, lambda id: 1.0)] == [11.0, 11.0, 10.0]


def test_no_piece_is_empty():
    """Tests that take no time at all leave no piece without a test."""
    long = unit("a", 10.0, tests=30, whole=False)
    pieces = split_long([long], 4, lambda id: 10.0 if id == "a.test_0" else 0.0)
    assert all(piece.tests for piece in pieces)
    assert sum(len(piece.tests) for piece in pieces) == 30


# Whole runs


class SimulatedPool:
    """Workers over a queue, with a clock of their own; they keep the books that the queue has to be right by.

    They behave as those of the pool do: one is started while something is left, begins anew when told to, does not come
    back when nothing is left by then, and may be lost.
    """

    def __init__(self, units, workers, *, dice=None, fails=0.0, dies=0.0, fresh_seconds=0.2, **settings):
        self.queue = Queue(units, workers, fresh_seconds=fresh_seconds, **settings)
        self.fresh_seconds = fresh_seconds
        self.dice, self.fails, self.dies = dice, fails, dies
        self.now = 0.0
        self.done: list[Unit] = []
        self.renewals = 0
        self.alive: set[str] = set()
        self.idle: set[str] = set()
        self.changed: set[str] = set()
        self.used: Counter[str] = Counter()
        self.events: list[tuple[float, int, str, str, tuple[Unit, ...]]] = []
        self.numbers = iter(range(10**9))
        for number in range(workers):
            if len(self.queue):
                self.start(str(number))

    def start(self, worker):
        self.alive.add(worker)
        self.changed.discard(worker)
        self.queue.renewed(worker)
        self.ask(worker)

    def ask(self, worker):
        leased = self.queue.lease(worker, self.now, len(self.alive) - 1)
        if leased is FRESH:
            assert worker in self.changed, "a fresh database was thrown away"
            self.renewals += 1
            self.later(self.fresh_seconds, worker, "renewed")
        elif leased:
            self.begin(worker, leased)
        else:
            self.idle.add(worker)

    def begin(self, worker, leased):
        for unit in leased:
            assert unit.not_before <= self.now
            assert unit.avoid != worker or len(self.alive) == 1
            assert not (unit.kind is Kind.NEEDS_ROWS and worker in self.changed), "Django's rule is broken"
            if unit.kind is Kind.CHANGES_ROWS:
                self.changed.add(worker)
            for name, slots in unit.resources.items():
                self.used[name] += 1
                assert self.used[name] <= slots, "more than the slots of a resource"
        seconds = sum(unit.seconds for unit in leased)
        is_lost = self.dies and self.dice.random() < self.dies
        self.later(seconds * (self.dice.random() if is_lost else 1), worker, "lost" if is_lost else "done", leased)

    def later(self, seconds, worker, what, leased=()):
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), worker, what, leased))

    def run(self):
        """Run to the end, which comes, and return when that is."""
        while self.events:
            self.now, _, worker, what, leased = heapq.heappop(self.events)
            for unit in leased:
                self.used.subtract(unit.resources.keys())
            self.queue.release(leased)
            if what == "done":
                self.finish(worker, leased)
                self.ask(worker)
            elif what != "tick":
                for unit in leased:
                    self.queue.add(unit)
                self.alive.discard(worker)
                if len(self.queue):
                    self.start(worker)
            for idle in sorted(self.idle):
                self.idle.discard(idle)
                self.ask(idle)
            if len(self.queue) and not self.events:
                waiting = self.queue.take_out()
                due = min(unit.not_before for unit in waiting)
                assert due > self.now, f"the run stalls with {len(waiting)} units"
                for unit in waiting:
                    self.queue.add(unit)
                self.later(due - self.now, "", "tick")
        return self.now

    def finish(self, worker, leased):
        self.done += leased
        for unit in leased:
            if self.fails and unit.attempt < 3 and self.dice.random() < self.fails:
                wait = self.dice.choice([0.0, 0.0, 1.0])
                self.queue.add(unit._replace(attempt=unit.attempt + 1, avoid=worker, not_before=self.now + wait))


def random_units(dice, count):
    """Return units of lognormal durations, and kinds in a random mix."""
    mix = dice.choice([(1, 0, 0), (0, 0, 1), (0.8, 0.1, 0.1), (0.5, 0.2, 0.3), (0.2, 0.1, 0.7)])
    kinds = dice.choices(list(Kind), mix, k=count)
    return [unit(f"m.C{number}", dice.lognormvariate(-2, 1.5), kind) for number, kind in enumerate(kinds)]


@pytest.mark.parametrize("seed", range(0, 400, 40))
def test_every_unit_runs_exactly_once(seed):
    """Whatever fails, dies, waits or needs a resource: all units run, each once, and no rule is broken."""
    slots = {"browser": 1, "port": 2}
    for number in range(seed, seed + 40):
        dice = random.Random(number)
        units = random_units(dice, dice.choice([1, 5, 20, 120]))
        for place in range(0, len(units), 7):
            name = dice.choice(list(slots))
            units[place] = units[place]._replace(resources={name: slots[name]}, rank=dice.choice([0, 1]))
        pool = SimulatedPool(
            units,
            dice.choice([1, 2, 3, 8]),
            dice=dice,
            fails=dice.choice([0.0, 0.1, 0.5]),
            dies=dice.choice([0.0, 0.1]),
            longest_first=dice.random() < 0.7,
            least_seconds=dice.choice([0.0, 0.5]),
        )
        pool.run()
        assert sorted(each for each in pool.done if each.attempt == 1) == sorted(units), number
        assert len(pool.queue) == 0


@pytest.mark.parametrize("seed", range(0, 300, 50))
def test_the_workers_end_together(seed):
    """A run takes at most 5 % more than the longest unit or a worker's share would, and one unit."""
    for number in range(seed, seed + 50):
        dice = random.Random(number)
        workers = dice.choice([1, 2, 3, 4, 8, 16])
        units = random_units(dice, dice.choice([1, 5, 20, 200, 1000]))
        longest = max(each.seconds for each in units)
        total = sum(each.seconds for each in units)
        took = SimulatedPool(units, workers).run()
        assert took <= 1.05 * max(longest, total / workers) + longest, number


def test_few_workers_begin_anew():
    """Many short units that need rows and few that change them cost no more fresh databases than there are workers."""
    for number in range(20):
        dice = random.Random(number)
        units = [unit(f"m.C{place}", dice.lognormvariate(-3, 1)) for place in range(300)]
        units += [changing(f"m.T{place}", dice.lognormvariate(0, 1)) for place in range(10)]
        pool = SimulatedPool(units, 4)
        pool.run()
        assert pool.renewals <= 4, number


@pytest.mark.parametrize("share", [0.0, 0.3], ids=["free", "with a resource"])
def test_a_lease_costs_little(share):
    """With 5,000 units in the queue, many of them waiting for one resource, a lease takes some 20 µs."""
    dice = random.Random(0)
    units = [
        each._replace(resources={"browser": 1}) if dice.random() < share else each for each in random_units(dice, 5000)
    ]
    queue = Queue(units, 8)
    leased: dict[str, tuple[Unit, ...]] = {}
    asked, spent = 0, 0.0
    while len(queue):
        for worker in map(str, range(8)):
            queue.release(leased.pop(worker, ()))
            started = time.process_time()
            found = queue.lease(worker, 0.0, 7)
            spent += time.process_time() - started
            asked += 1
            if found is FRESH:
                queue.renewed(worker)
            else:
                leased[worker] = found
    assert spent / asked < 200e-6  # ten times as much, for a machine that does other things as well
