"""Who makes rows, besides people: pure functions from what is known to rows.

    retry.py    the rows of a run that did not end well

No job has a path of its own to the API: its rows go through the engine like any others.
"""
