"""Requests are noted beside their answers, whatever goes wrong with the noting."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from testkit.coverage.routes.hooks import _answering, _answering_async


def test_what_cannot_be_noted_is_told_once(capsys):
    """An error in noting a request leaves the answer, and what a view raised, alone; it is told once."""

    def note(request, status):
        raise LookupError("no such route")

    async def answer(handler, request):
        return SimpleNamespace(status_code=200)

    request = SimpleNamespace(path="/odd/")
    answered = _answering(lambda handler, request: SimpleNamespace(status_code=201), note)
    assert answered(None, request).status_code == 201
    assert asyncio.run(_answering_async(answer, note)(None, request)).status_code == 200
    assert capsys.readouterr().err.splitlines() == [
        "testkit: not all routes could be noted: LookupError: no such route (at /odd/)"
    ]
