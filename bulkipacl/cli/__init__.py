"""The command line: one file per verb, and no logic. Parse, call the library, print, exit code."""
