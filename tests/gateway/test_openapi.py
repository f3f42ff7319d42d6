"""The control plane against its own OpenAPI document: requests made up by Schemathesis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.gateway.conftest import Served, asked, serving

EXAMPLES = 10
"""Requests made up for each operation, right ones and wrong ones each."""

NOT_HELD = [
    not_a_server_error,  # 501 is an answer here; the others are looked for below
    checks.positive_data_acceptance,  # a token of a page is text, but not all text is one
    checks.negative_data_rejection,  # what is not known is passed over, as newer clients need
]


@pytest.fixture(scope="module")
def model(private_daemon: None) -> Iterator[Served]:
    """A gateway in front of the model, whose sandboxes cost nothing."""
    with serving("--profile", "memory") as served:
        yield served


# Their own plugin for pytest keeps to an older one; what it does is only this.
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_does_as_documented(mode: GenerationMode, model: Served) -> None:
    schema = schemathesis.openapi.from_url(model.url + "/openapi.json")
    seen = []
    for found in schema.get_all_operations():
        operation = found.ok()
        seen.append(operation.label)

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        def holds(case: schemathesis.Case) -> None:
            answer = case.call_and_validate(
                headers={"X-API-Key": model.key}, excluded_checks=NOT_HELD
            )
            assert answer.status_code < 500 or answer.status_code == 501, answer.text

        try:
            holds()
        except schemathesis.errors.SchemathesisError as error:
            # Where nothing can be wrong, there are no wrong requests.
            if mode is GenerationMode.POSITIVE:
                raise AssertionError(operation.label) from error
    assert len(seen) >= 15


def test_the_document_needs_no_key(model: Served) -> None:
    assert asked(model, "GET", "/openapi.json")[0] == 200
