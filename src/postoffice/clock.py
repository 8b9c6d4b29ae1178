"""Time is an argument. Whoever needs the wall clock takes a `Clock`, so that a test can be any day."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Gives the seconds since the epoch, as `time.time` does."""

system_clock: Clock = time.time
