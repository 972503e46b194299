"""Query budgets of a whole suite: how many queries each endpoint may make, in ``query-budgets.toml``.

``file`` reads and edits that, ``costs`` says what requests cost, ``hooks`` hears of each request that a test makes and
checks it, and ``report`` says at the end what became of all budgets. Under a runner that is not testkit's, ``stock``
joins what the processes of a run tell.
"""
