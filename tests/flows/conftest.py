"""A Prefect server, and the manifest that goes through the pipeline in seconds."""

import os
from collections.abc import Iterator

import pytest

from tests.pipeline.conftest import manifest

__all__ = ["manifest"]


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """The API's URL of Prefect's own test harness: a real server on a database of its own."""
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    from prefect.settings import get_current_settings
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(get_current_settings().api.url)
