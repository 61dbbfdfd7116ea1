"""An S3 server on this machine that refuses requests with another signature than that of its one user."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

from tests.slurm.cluster import wait

BUCKET = "asteroid"
REGION = "us-east-1"
RIGHTS = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@contextlib.contextmanager
def object_store(port: int) -> Iterator[dict[str, str]]:
    """Start moto's server with an empty bucket.

    Yields:
        Environment variables of its clients, the key of its user among them.

    Raises:
        TimeoutError: when it does not answer.
    """
    import boto3

    # The first requests make the bucket and the user; from then on, signatures are checked.
    requests = 4
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(requests)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait(lambda: _listens(port), "the object store did not answer")
        url = f"http://127.0.0.1:{port}"
        place = {"endpoint_url": url, "region_name": REGION}
        anyone = boto3.Session(aws_access_key_id="nobody", aws_secret_access_key="nothing")
        anyone.client("s3", **place).create_bucket(Bucket=BUCKET)
        users = anyone.client("iam", **place)
        users.create_user(UserName="worker")
        users.put_user_policy(UserName="worker", PolicyName="store", PolicyDocument=json.dumps(RIGHTS))
        key = users.create_access_key(UserName="worker")["AccessKey"]
        yield {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": url,
        }
    finally:
        server.kill()
        server.wait()


def objects() -> Iterator[tuple[str, bytes]]:
    """Names and contents of all that is in the bucket, for who has the key in the environment."""
    import boto3

    found = boto3.resource("s3").Bucket(BUCKET)
    for entry in found.objects.all():
        yield entry.key, entry.get()["Body"].read()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
