"""Bulk changes to SIP IP access control lists: rows in, one outcome per row out.

The package imports nothing heavy here, so that `bulkipacl --version` stays quick.
"""

__version__ = "0.1.0"
