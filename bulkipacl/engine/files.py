"""How many files a process may have open, which bounds what can be in flight."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import replace

from bulkipacl.settings import SPARE_FILES, Settings


def with_files_for(settings: Settings) -> Settings:
    """Each request in flight needs an open file: raise the process's limit, or send fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_in_flight + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):  # Some systems have a limit below the hard one.
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return replace(settings, max_in_flight=max(1, min(wanted, soft) - SPARE_FILES))
    return settings
