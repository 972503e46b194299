"""Which routes of a project its tests ask for, by which methods, and with what answers.

``hooks`` notes on each test what it asks for, ``calls`` hears of views that are called past their routes, ``standing``
joins that with the routes there are, ``baseline`` reads and edits the file of those that are untested so far, ``base``
knows the routes of an earlier commit, and ``report`` writes it all down.
"""
