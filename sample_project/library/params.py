"""Reading the parameters of the JSON endpoints strictly, with messages a caller can act on."""

import datetime
import functools
import re
from collections.abc import Callable, Mapping

from django.http import HttpRequest, HttpResponse, JsonResponse

EARLIEST = datetime.date(1800, 1, 1)
LATEST = datetime.date(2999, 12, 31)
WHOLE_NUMBER = re.compile(r"-?[0-9]{1,9}")


class ParameterError(ValueError):
    """A parameter of the request cannot be used."""


def read_int(params: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return a parameter as a whole number; without a default it must be there."""
    value = params.get(name, "")
    if value == "" and default is not None:
        return default
    if not WHOLE_NUMBER.fullmatch(value):
        raise ParameterError(f"{name} must be a whole number.")
    return int(value)


def read_choice(params: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    """Return a parameter that must be one of `choices`."""
    value = params.get(name, "") or default
    if value not in choices:
        raise ParameterError(f"{name} must be one of: {', '.join(choices)}.")
    return value


def read_date(params: Mapping[str, str], name: str, default: datetime.date) -> datetime.date:
    """Return a parameter as a date; of the ISO forms only YYYY-MM-DD is taken."""
    value = params.get(name, "")
    if value == "":
        return default
    try:
        day = datetime.date.fromisoformat(value)
    except ValueError:
        day = None
    if day is None or day.isoformat() != value:
        raise ParameterError(f"{name} must be a date as YYYY-MM-DD.")
    if not EARLIEST <= day <= LATEST:
        raise ParameterError(f"{name} must be a date from {EARLIEST} to {LATEST}.")
    return day


def json_errors(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Answer a `ParameterError` of a view with status 400 and the message as JSON."""

    @functools.wraps(view)
    def answer(request: HttpRequest, *args, **kwargs) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except ParameterError as error:
            return JsonResponse({"error": str(error)}, status=400)

    return answer
