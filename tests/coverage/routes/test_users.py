"""Whether a request has a user is known without asking for the user."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.utils.functional import SimpleLazyObject

from testkit.coverage.routes.users import has_user

SOMEBODY, NOBODY = SimpleNamespace(is_authenticated=True), SimpleNamespace(is_authenticated=False)


def never():
    raise AssertionError("the user was asked for")


LAZY = SimpleLazyObject(never)
COOKIE, TOKEN = {"COOKIES": {"sessionid": "x"}}, {"META": {"HTTP_AUTHORIZATION": "Token x"}}


@pytest.mark.parametrize(
    ("request_has", "expected"),
    [
        ({}, False),
        ({"user": LAZY}, False),
        ({"user": LAZY, **COOKIE}, True),
        ({"user": LAZY, **TOKEN}, True),
        ({"user": LAZY, "_cached_user": SOMEBODY}, True),
        ({"user": LAZY, "_acached_user": SOMEBODY}, True),
        ({"user": LAZY, "_cached_user": NOBODY, **COOKIE}, False),  # a session without a user: a basket, say
        ({"user": SOMEBODY, "_cached_user": NOBODY}, False),  # who signs in
        ({"user": NOBODY, "_cached_user": SOMEBODY, **COOKIE}, True),  # who signs out
        ({"user": SOMEBODY}, True),  # by a token, or set by a middleware
        ({"user": NOBODY, **COOKIE}, False),
        ({"user": NOBODY, "_force_auth_user": SOMEBODY}, True),
    ],
)
def test_the_user_is_known(request_has, expected):
    request = SimpleNamespace(**{"COOKIES": {}, "META": {}, **request_has})
    assert has_user(request, "sessionid") is expected
