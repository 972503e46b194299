"""Whether a request was made by somebody who is signed in: told without asking a session or a database."""

from __future__ import annotations

from typing import Any

from django.utils.functional import LazyObject


def has_user(request: Any, session_cookie: str) -> bool:
    """Return whether ``request``, which is answered, came from a user.

    ``request.user`` may be lazy: to look at it would make queries that the project's code did not ask for. Where nobody
    has looked, a session or a token that came with the request tells.
    """
    known = vars(request)
    # Of DRF's force_authenticate(), which goes before all that a session says.
    if known.get("_force_auth_user") is not None:
        return True
    # What Django keeps of the user that the request came with, whoever is signed in or out by it.
    for name in ("_cached_user", "_acached_user"):
        if name in known:
            return bool(known[name].is_authenticated) or "HTTP_AUTHORIZATION" in request.META
    user = known.get("user")
    if user is not None and not isinstance(user, LazyObject):
        return bool(getattr(user, "is_authenticated", False))
    return session_cookie in request.COOKIES or "HTTP_AUTHORIZATION" in request.META
