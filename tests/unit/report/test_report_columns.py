"""Which columns a report has."""

from __future__ import annotations

import pytest
from report_runs import source

from bulkipacl.report.columns import ABSENT, REPORT_COLUMNS, layout_of


def test_fixed_columns() -> None:
    """The fixed columns are those of the design, in its order."""
    assert ", ".join(REPORT_COLUMNS) == (
        "row, source, line, operation, account_sid, list_sid, sid, ip_address, "
        "cidr_prefix_length, friendly_name, outcome, evidence, reason, http_status, error_code, "
        "error_message, more_info, attempts, request_id, finished_at, duration_ms, suggestion"
    )


@pytest.mark.parametrize(
    ("columns", "others"),
    [
        (("Op", "Account", "ACL", "IP", "Prefix", "Name", "IpAddressSid"), ()),
        (("ip", "customer", "note"), ("customer", "note")),
        (
            ("list_name", "match_ip_address", "old_prefix"),
            ("list_name", "match_ip_address", "old_prefix"),
        ),
        (("ip", "row", "outcome", "line"), ("input_row", "input_outcome", "input_line")),
        (("note", "note", "note"), ("note", "input_note", "input_input_note")),
        (("input_row", "row"), ("input_row", "input_input_row")),
        (("", ""), ("", "input_")),
        (("input_extra_cells",), ("input_input_extra_cells",)),
    ],
)
def test_other_columns(columns: tuple[str, ...], others: tuple[str, ...]) -> None:
    """Columns without a place of their own travel, renamed only where a name is taken."""
    layout = layout_of([source(*columns)])
    assert layout.others == others
    assert len(set(layout.header)) == len(layout.header)


def test_columns_of_several_sources() -> None:
    """The other columns are a union in order of first sight, each source filling its own."""
    layout = layout_of([source("ip", "a", "b"), source("c", "b", "ip", number=2)])
    assert layout.others == ("a", "b", "c")
    assert layout.sources[1].others == (1, 2, ABSENT)
    assert layout.sources[2].others == (ABSENT, 1, 0)
