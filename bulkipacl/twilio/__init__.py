"""The room that knows the API: what to ask, what an answer means, and how bytes travel.

    contract.py     requests and verdicts; no I/O
    hosts.py        which host may be spoken to: regions, edges, base URLs, proxies
    headers.py      what both sides of the transport share: heads, answers, words for errors
    lane.py         the fast side: a request's own bytes on a connection that aiohttp made
    lines.py        its connections: which is used next, and how many there are
    line.py         one of them: one question at a time, and the short way to read an answer
    session.py      the plain side: `aiohttp.ClientSession`
    transport.py    the seam between them and the engine

It decides nothing about retries, limits or rows.
"""
