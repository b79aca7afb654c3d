"""A stateful stand-in for the API, for tests, rehearsals and measurements.

Written from the API's documentation alone: it imports nothing else of this package, so that a
misreading cannot pass on both sides. It is no proof of what the real API does; where the
documents are silent, `SandboxConfig` has a switch.

The way of a request, one file each:

    serve > connection > frontend (auth, limits, faults > inject) > stage
          > api (state, directory, pages) > wire
    ledger: every effect on the state; admin: the sandbox's own paths; config: the switches
    sample: an input to try it with
"""

from bulkipacl.sandbox.config import SandboxConfig
from bulkipacl.sandbox.faults import ALIASES, KINDS, Fault, parse_fault
from bulkipacl.sandbox.ledger import Effect, Ledger, Stats
from bulkipacl.sandbox.limits import (
    Latency,
    Limit,
    LimitSteps,
    parse_latency,
    parse_limit,
    parse_limit_steps,
)
from bulkipacl.sandbox.sample import make_sample
from bulkipacl.sandbox.serve import Sandbox, main, start

__all__ = [
    "ALIASES",
    "KINDS",
    "Effect",
    "Fault",
    "Latency",
    "Ledger",
    "Limit",
    "LimitSteps",
    "Sandbox",
    "SandboxConfig",
    "Stats",
    "main",
    "make_sample",
    "parse_fault",
    "parse_latency",
    "parse_limit",
    "parse_limit_steps",
    "start",
]
