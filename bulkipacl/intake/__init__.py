"""Intake: bytes to checked rows, every problem at once, in flat memory.

Not here: keeping the rows (store), deciding them against a list (engine), any network.

    streams      a path or standard input as plain UTF-8 bytes: decompressed, recoded, in lines
    formats      which format it is; `open_source` and `Source`
    csv_records, json_records, json_arrays    records to Drafts
    columns      column names to fields
    checks       one record to one `model.Draft`: the quick way
    fields       one field, explained: what is wrong with it and what to write instead
    addresses    IPv4 blocks as integers
    crosscheck   the rows of one list against each other
    lints        what of them only deserves a second look
    problems     problems as values and as lines for people
    defaults     what a record may leave out
"""

from __future__ import annotations

from bulkipacl.intake.columns import field_of, near_misses
from bulkipacl.intake.crosscheck import check_rows
from bulkipacl.intake.defaults import Defaults, parse_defaults
from bulkipacl.intake.formats import Source, open_source
from bulkipacl.intake.lints import lint_rows
from bulkipacl.intake.problems import describe

__all__ = [
    "Defaults",
    "Source",
    "check_rows",
    "describe",
    "field_of",
    "lint_rows",
    "near_misses",
    "open_source",
    "parse_defaults",
]
