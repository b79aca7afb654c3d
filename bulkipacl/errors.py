"""Every error that ends a run, as one tree.

    BulkError                 the base: a message for people, an exit code, an optional hint
    ├── UsageError            flags, settings, files that cannot be opened            exit 2
    │   └── CredentialError   no credential, an unreadable one, an unsafe file        exit 2
    ├── InputError            the input as a whole cannot be taken in                 exit 3
    ├── StoreError            the run directory cannot be read or written             exit 2
    │   └── LockedError       another process holds the run directory                 exit 9
    └── TransportError        the transport itself cannot be built (never one request) exit 2

A row that fails is a value (`model.Outcome`), never an exception: an exception means that the
run cannot go on. No message ever holds a secret.
"""

from __future__ import annotations


class BulkError(Exception):
    """The run cannot go on. `message` is one line; `hint` says what to do instead."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BulkError):
    """A flag, a setting or a path is wrong."""


class CredentialError(UsageError):
    """A credential is missing, unreadable, or kept where others can read it."""


class InputError(BulkError):
    """The input as a whole cannot be taken in (its rows' problems are values)."""

    exit_code = 3


class StoreError(BulkError):
    """The run directory cannot be created, read or written."""


class LockedError(StoreError):
    """Another process holds the run directory."""

    exit_code = 9


class TransportError(BulkError):
    """The transport cannot be built: a bad base URL, an unknown region."""
