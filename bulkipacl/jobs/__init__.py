"""Who makes rows, besides people: pure functions from what is known to rows.

    retry.py    the rows of a run that did not end well
    undo.py     the way back from a run;  back.py   of one list: pure
    export.py   what lists hold now, as rows in a file

No job has a path of its own to the API: its rows go through the engine like any others.
"""
