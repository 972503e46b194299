"""Screenshots: what pages look like in real browsers, compared with baselines that people approved.

Nothing here knows the runner: it works the same under plain ``manage.py test``, nose2 and pytest.
"""
