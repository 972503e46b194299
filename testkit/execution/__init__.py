"""Running tests and saying what happened: unittest results become facts here."""
