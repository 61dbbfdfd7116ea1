"""What tests share: one thread a process, and an object store on this machine."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from asteroid.processes import single_thread_environment

# Before numpy or tblite is imported: threads make tiny computations slow and not repeatable.
single_thread_environment()

# How long an example takes says nothing on a machine that others use.
settings.register_profile("asteroid", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("asteroid")


@pytest.fixture(scope="session")
def bucket() -> Iterator[Callable[[str], str]]:
    """An S3 server on this machine: gives the URL of a prefix in its bucket."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "dummy")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        host, port = server.get_host_and_port()
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="bucket")
        query = f"endpoint_override=http%3A%2F%2F{host}%3A{port}&scheme=http&region=us-east-1"
        yield lambda prefix: f"s3://bucket/{prefix}?{query}"
    server.stop()


_prefixes = itertools.count()


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.server)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store, once in a folder and once in an object store."""
    if request.param == "folder":
        return str(tmp_path / "store")
    return str(request.getfixturevalue("bucket")(f"store-{next(_prefixes)}"))
