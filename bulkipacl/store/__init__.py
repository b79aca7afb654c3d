"""The run directory: one SQLite database that is the queue, the journal and every report's source.

    schema.py    the tables, and what each of them promises
    rundir.py    making, opening and locking a run directory
    intake.py    drafts in, numbered rows out
    journal.py   snapshots before, outcomes after: one transaction per batch
    views.py     what a report asks: every row with its outcome, counts, causes
    crosscheck.py  what the rows of one list say against each other

It knows nothing of HTTP, and nothing of how a row is carried out.
"""
