"""Hypothesis for the core: few examples, because there are many tests; no deadlines, because machines are shared."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("core", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("core")
