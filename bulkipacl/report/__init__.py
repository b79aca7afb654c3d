"""What a run answered, for people and programs; made from its run directory alone.

    writers    report.csv, JSON Lines, JSON, the stream of rows as they end
    rejects    the input's own lines of the rows that did not end well
    summary    the figures and causes as text and JSON, and the exit code
    verification   proof that every row has one outcome, and that the reports say so
    columns    which columns a report has;  lines: what stands in them
    limits     what accounts allowed, of one run and of all
    records    kept input records, read back;  cells: texts made safe for where they are shown
    files      files that are there whole or not at all;  compare: two streams of lines
    words      what messages for people share

It decides nothing about a row: what a row without an outcome means is derived in `store.views`.
"""

from bulkipacl.report.cells import printable
from bulkipacl.report.limits import (
    limits_json,
    limits_text,
    memory_json,
    memory_text,
    write_samples,
)
from bulkipacl.report.summary import exit_code, summary_json, summary_text
from bulkipacl.report.verification import check_store, explaining_damage, verify
from bulkipacl.report.words import counted, source_name
from bulkipacl.report.writers import (
    StreamLines,
    check_report_path,
    write_report,
    write_run_reports,
)

__all__ = [
    "StreamLines",
    "check_report_path",
    "check_store",
    "counted",
    "exit_code",
    "explaining_damage",
    "limits_json",
    "limits_text",
    "memory_json",
    "memory_text",
    "printable",
    "source_name",
    "summary_json",
    "summary_text",
    "verify",
    "write_report",
    "write_run_reports",
    "write_samples",
]
