"""Carries rows out: run > account > list > row, each level with one concern.

    apply.py       the main job from files to report, in one call
    run.py         the run: accounts, stopping, what is open
    account.py     the account: its window, its pace, its credential's standing
    acl.py         the list: its snapshot, order, reading back, closing
    row.py         the row: its attempts and its outcome
    scheduler.py   which request is sent next, and the workers that send it
    committer.py   group commits
    reading.py     one walk over all pages of a list
    gather.py      many lists of many accounts read, in order (reader.py, inorder.py, selection.py)
    pure: decide.py (what a row means), lanes.py (row order), retry.py, governor.py

Nothing here awaits but a worker (an answer), the committer (a commit) and a pacer (a token): all
else is plain calls in answer to one of these, and time is timers of the event loop.
"""
