"""Queries: what a piece of code costs the database, asserted in tests, guarded for a suite, and readable in a log.

Nothing here knows the runner: it works under any, with ``testkit`` in ``INSTALLED_APPS`` or without.
"""
