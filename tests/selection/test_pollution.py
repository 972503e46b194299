"""The tests that make another one fail are found by asking as little as possible."""

from __future__ import annotations

import math
import random
import shlex
import subprocess
import sys

import pytest

from testkit.selection.pollution import UnsteadyError, command, find_polluters


class Question:
    """Answers by a predicate, and keeps what was asked."""

    def __init__(self, predicate):
        self.asked = []
        self._predicate = predicate

    def __call__(self, tests):
        self.asked.append(tuple(tests))
        return self._predicate(tuple(tests))


def needing(*polluters):
    """The test fails after all of ``polluters``."""
    return lambda tests: set(polluters) <= set(tests)


def names(count):
    return [f"app.tests.Case.test_{number}" for number in range(count)]


def is_minimal(found, predicate):
    """Whether the test fails after ``found``, and after none of the sets with one fewer."""
    fewer = (found[:index] + found[index + 1 :] for index in range(len(found)))
    return predicate(found) and not any(map(predicate, fewer))


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100, 1000])
def test_one_polluter_is_found_by_halving(count):
    """One polluter is found wherever it stands, by log2(n) questions and four, of n tests altogether and a few."""
    tests = names(count)
    for index in {0, 1, count // 3, count // 2, count - 1} & set(range(count)):
        question = Question(needing(tests[index]))
        assert find_polluters(tests, question) == (tests[index],)
        assert len(question.asked) <= math.ceil(math.log2(count)) + 4
        assert sum(map(len, question.asked)) <= count + 2


def test_several_polluters_are_found_in_their_order():
    """Tests that fail the other one only together are all found, in the order in which they ran."""
    generator = random.Random(5)
    for _ in range(200):
        tests = names(generator.randrange(2, 300))
        wanted = sorted(generator.sample(tests, min(len(tests), generator.randrange(2, 5))), key=tests.index)
        question = Question(needing(*wanted))
        assert find_polluters(tests, question) == tuple(wanted)
        assert len(question.asked) <= (len(wanted) + 1) * (math.log2(len(tests)) + 2) + len(wanted) + 4


def test_one_of_several_ways_to_fail_is_found():
    """Where any of several sets of tests does it, one of these sets is found, with nothing besides."""
    generator = random.Random(6)
    for _ in range(300):
        tests = names(generator.randrange(1, 40))
        sets = [
            needing(*generator.sample(tests, generator.randrange(1, min(len(tests), 4) + 1)))
            for _ in range(generator.randrange(1, 5))
        ]
        predicate = Question(lambda run, sets=sets: any(fails(run) for fails in sets))
        found = find_polluters(tests, predicate)
        assert is_minimal(found, predicate), found
        assert list(found) == sorted(found, key=tests.index)


def test_tests_that_mend_what_others_break_do_not_mislead():
    """The result is minimal for any predicate at all, also when adding tests makes the failure go away."""
    for seed in range(400):
        generator = random.Random(seed)
        tests = names(generator.randrange(1, 12))
        share = generator.random()
        # Answers by chance, the same for the same tests; only that it fails after all of them is given.
        answers = {(): False, tuple(tests): True}

        def predicate(run, answers=answers, generator=generator, share=share):
            return answers.setdefault(run, generator.random() < share)

        found = find_polluters(tests, Question(predicate))
        assert is_minimal(found, predicate), (seed, found)


def test_the_order_of_the_polluters_can_matter():
    """A pair that does it in one order only is found in that order: a shuffled run's order is the candidates'."""
    tests = ["c", "x", "b", "a", "y"]

    def fails(run):
        return "b" in run and "a" in run and run.index("b") < run.index("a")

    assert find_polluters(tests, fails) == ("b", "a")


def test_a_test_that_fails_on_its_own_has_no_polluters():
    """Nothing is found before a test that fails alone, and that takes two questions."""
    question = Question(lambda tests: True)
    assert find_polluters(names(100), question) == ()
    assert question.asked == [(), ()]


def test_nothing_is_asked_twice_but_to_make_sure():
    """Each question is put once, and at the end what was found is asked again, with and without the polluters."""
    for wanted in ([70], [3, 50], [0, 1, 2, 98, 99]):
        tests = names(100)
        question = Question(needing(*(tests[index] for index in wanted)))
        found = find_polluters(tests, question)
        *first, with_them, without = question.asked
        assert len(first) == len(set(first))
        assert tuple(tests) not in first
        assert (with_them, without) == (found, ())


def test_answers_that_change_are_an_error():
    """A test that fails by chance is not blamed on the tests before it."""

    def changing(answers):
        return lambda tests: answers.pop(0)

    with pytest.raises(UnsteadyError, match=r"failed after a\.b once and passed the second time.*--until-fail"):
        find_polluters(["a.b"], changing([False, False]))
    with pytest.raises(UnsteadyError, match="passed on its own once and failed the second time"):
        find_polluters(["a.b"], changing([False, True, True]))
    with pytest.raises(UnsteadyError, match="failed on its own once"):
        find_polluters(["a.b"], changing([True, False]))
    noise = random.Random(1)
    caught = 0
    for _ in range(200):
        try:
            find_polluters(names(30), lambda tests: noise.random() < 0.5)
        except UnsteadyError:
            caught += 1
    assert caught > 100


def test_the_command_can_be_pasted(tmp_path):
    """A shell takes the command apart into the options, the polluters and the test, whatever is in their names."""
    odd = ["a.B.test_it's", "a.B.test $HOME `x`", "a.B.test_ä"]
    script = tmp_path / "show.py"
    script.write_text("import sys; print('\\n'.join(sys.argv[1:]))")
    program = shlex.join([sys.executable, str(script)])
    line = command(program, odd, "c.D.test_last", ["--settings=my settings"])
    printed = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["--settings=my settings", *odd, "c.D.test_last"]
    assert (
        command("python manage.py test", ["a.B.test_x"], "c.D.test_y") == "python manage.py test a.B.test_x c.D.test_y"
    )
