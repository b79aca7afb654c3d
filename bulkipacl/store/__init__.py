"""The run directory: one SQLite database that is the queue, the journal and every report's source.

    schema.py    the tables, and what each of them promises
    rundir.py    making and opening a run directory; transactions and readings
    connection.py  how a database is opened, wherever it lies;  lock.py  who may write
    intake.py    drafts in, numbered rows out
    journal.py   snapshots before, outcomes after: one transaction per batch
    plan.py      what a plan read of each list, and the rows that it is about
    views.py     what is asked: rows to do, every row with its outcome, counts
    missing.py   what a row without an outcome means;  causes.py  why rows did not end well
    facts.py     facts of the run by name
    crosscheck.py  what the rows of one list say against each other
    lints.py       what of them only deserves a second look
    history.py     what a run did to each list: what an undo goes by
    holding.py     a plan held to the readings that its rows were made from

It knows nothing of HTTP, and nothing of how a row is carried out.
"""
