"""The tests of a Django project of its own lie here: ``shelf``, which ``test_shelf.py`` runs on each database."""

collect_ignore = ["shelf"]
