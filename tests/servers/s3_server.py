"""A server that speaks S3, as a process of its own on loopback: moto's, which is another's reading of the protocol."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
REGION = "eu-central-1"
_READY = re.compile(rb"Running on (http://127\.0\.0\.1:\d+)")


@dataclass
class S3Server:
    """The server, and what a test asks of it beside the code under test."""

    endpoint: str
    client: Any

    def make(self, bucket: str) -> None:
        """Make a bucket."""
        self.client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def names(self, bucket: str) -> list[str]:
        """The names of a bucket's objects."""
        return [one["Key"] for one in self.client.list_objects_v2(Bucket=bucket).get("Contents", ())]

    def deny(self, bucket: str, *actions: str) -> None:
        """Refuse these actions on all objects of a bucket; without any, none."""
        if not actions:
            self.client.delete_bucket_policy(Bucket=bucket)
            return
        objects = f"arn:aws:s3:::{bucket}/*"
        said = {"Effect": "Deny", "Principal": "*", "Action": [f"s3:{one}" for one in actions], "Resource": [objects]}
        policy = {"Version": "2012-10-17", "Statement": [said]}
        self.client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


@contextmanager
def running() -> Iterator[S3Server]:
    """The server for as long as the block lasts."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    env = {**os.environ, **KEYS, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            lines: list[bytes] = []
            for line in process.stderr:
                lines.append(line)
                if found := _READY.search(line):
                    break
            else:
                raise AssertionError(b"".join(lines).decode())
            endpoint = found[1].decode()
            client = boto3.client(
                "s3", endpoint_url=endpoint, region_name=REGION,
                aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            )  # fmt: skip
            yield S3Server(endpoint, client)
            client.close()
        finally:
            process.kill()
