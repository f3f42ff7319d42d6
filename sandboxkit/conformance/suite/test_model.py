"""Random sequences against a model, and the sequences that once failed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from sandboxkit.conformance.stateful import PROFILES, SandboxMachine, profile_for


@pytest.mark.timeout(600)
def test_model_of_lifecycle_files_snapshots_and_forks(target, request) -> None:
    named = request.config.getoption("sandbox_depth")
    profile = named or profile_for(target.capabilities.isolation)
    chosen = settings(PROFILES[profile], database=None, print_blob=True)
    run_state_machine_as_test(lambda: SandboxMachine(target), settings=chosen)
