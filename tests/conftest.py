"""Settings for all tests.

A run of the tests is the same run every time: hypothesis draws its examples from each test alone.
`make explore` draws new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
