"""The doctor's look at Prefect, against real servers that lack something."""

import pytest

from flows.doctor import check

pytestmark = pytest.mark.server


@pytest.mark.long
def test_a_server_without_pools_and_deployments_cannot_run_flows(
    prefect_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    checks = {one.name: one for one in check()}
    assert checks["Prefect"].status == "ok"
    assert checks["work pools"].status == "failed"
    assert "accurate-cpu" in checks["work pools"].found
    assert checks["deployments"].status == "failed"
    assert "asteroid/full-pipeline" in checks["deployments"].found


def test_a_server_that_does_not_answer_fails_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Port 9 discards, where anything listens at all.
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    (one,) = check()
    assert one.status == "failed"
    assert one.advice
    assert "unset PREFECT_API_URL" in one.advice
