"""A function is heard of when it is called, by whatever name, and is otherwise what it was."""

from __future__ import annotations

import asyncio
import inspect
import sys
import traceback

import pytest

from testkit.coverage.routes.calls import functions_heard


def make(word):
    def closed(request, *, more=2):
        "Says a word."
        return f"{request} {word} {more}"

    return closed


def plain(request, pk: int = 1, *rest):
    return request, pk, rest


def fails(request):
    raise LookupError(request)


async def slow(request):
    await asyncio.sleep(0)
    return request


@pytest.fixture
def heard():
    return []


def test_each_call_is_told(heard):
    """With its arguments and its result as they are: of plain and closed functions, of coroutines, and of errors."""
    closed = make("a")
    other = make("b")
    with functions_heard({plain: "plain", closed: "closed", slow: "slow", fails: "fails"}, heard.append):
        assert plain("r", 2, 3) == ("r", 2, (3,))
        assert closed("r", more=5) == "r a 5"
        assert closed(request="r") == "r a 2"
        assert other("r") == "r b 2"
        assert asyncio.run(slow("r")) == "r"
        with pytest.raises(LookupError) as caught:
            fails("r")
    assert [name for name in heard if name != "closed"] == ["plain", "slow", "fails"]
    # Functions of one definition share their code, which is what Python 3.12 tells of.
    assert heard.count("closed") == (3 if sys.version_info >= (3, 12) else 2)
    assert "raise LookupError(request)" in "".join(traceback.format_exception(caught.value))


def test_a_function_is_what_it_was(heard):
    """It looks the same while it is heard of, and after that it is the same."""
    closed = make("a")
    before = {function: (function.__code__, dict(vars(function))) for function in (plain, closed, slow)}
    signatures = {function: inspect.signature(function) for function in before}
    with functions_heard(dict.fromkeys(before, "view"), heard.append):
        for function in before:
            assert inspect.signature(function) == signatures[function]
            assert inspect.iscoroutinefunction(function) == (function is slow)
            assert "def " in inspect.getsource(function)
        assert closed.__name__ == "closed"
        assert closed.__doc__ == "Says a word."
    assert {function: (function.__code__, dict(vars(function))) for function in before} == before
    plain("r")
    assert heard == []
