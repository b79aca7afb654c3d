"""A run in several processes of one machine: shards of accounts go in, outcomes come back.

An account lives in exactly one process, since it has one governor. The parent process owns the run
directory and alone writes to it; each worker process runs an ordinary engine over its accounts,
reads its rows itself, and sends its batches to the parent: what waits for a batch to be durable
waits for the parent's word. So every promise of one process holds for all of them.

    cluster.py    `Cluster`, which stands where `Engine` does in one process
    process.py    one worker process, as the parent sees it
    worker.py     the worker process itself
    messages.py   what they say to each other
    pipe.py       how it gets across
    standing.py   how all workers stand, added up
    shares.py     which account goes where
"""
