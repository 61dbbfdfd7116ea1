"""The automations for lost runs on a real server."""

import asyncio
from typing import Any

import pytest
from prefect.client.orchestration import get_client

from infra.deploy import pool_names
from infra.lost_runs import NAME, NAME_OF_PENDING, SILENCE, START, ensure


def ensured(kind: str) -> dict[str, dict[str, Any]]:
    """What the server has afterwards, by name."""

    async def call() -> Any:
        await ensure(kind)
        async with get_client() as client:
            return (await client.request("POST", "/automations/filter", json={})).json()

    return {found["name"]: found for found in asyncio.run(call())}


@pytest.mark.server
@pytest.mark.slow
def test_they_concern_our_pools_alone_and_a_second_call_updates_what_has_changed(prefect_server: str) -> None:
    first = ensured("process")
    assert set(first) == {NAME, NAME_OF_PENDING}
    for automation in first.values():
        assert automation["trigger"]["match_related"]["prefect.resource.name"] == pool_names()
    # An update forgets which runs are being waited for.
    assert ensured("process") == first
    within = {name: automation["trigger"]["within"] for name, automation in ensured("kubernetes").items()}
    assert within == {NAME: SILENCE.total_seconds(), NAME_OF_PENDING: START["kubernetes"].total_seconds()}
