"""The endpoints of a project, which are a method and a route, and the requests for them.

What query budgets and the coverage of routes both stand on; neither knows the other.
"""
