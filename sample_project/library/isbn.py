"""ISBN-13 numbers: their check digit and the validation of what people type."""

from django.core.exceptions import ValidationError


def compact(value: str) -> str:
    """Return the number without the hyphens and spaces that editions print in it."""
    return value.replace("-", "").replace(" ", "")


def check_digit(first_twelve: str) -> str:
    """Return the digit that completes the first twelve of an ISBN-13."""
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(first_twelve))
    return str(-total % 10)


def looks_like_isbn(value: str) -> bool:
    """Say whether the value has the form of an ISBN-13, right or wrong."""
    return value.isascii() and value.isdigit() and len(value) == 13


def validate_isbn(value: str) -> None:
    """Refuse anything but thirteen digits of a book prefix with a right check digit."""
    if not looks_like_isbn(value):
        raise ValidationError("An ISBN has thirteen digits.", code="isbn_digits")
    if not value.startswith(("978", "979")):
        raise ValidationError("An ISBN starts with 978 or 979.", code="isbn_prefix")
    if check_digit(value[:12]) != value[12]:
        raise ValidationError("The last digit of this ISBN does not fit the others.", code="isbn_check")
