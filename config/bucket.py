"""A bucket of S3, or of what speaks like it, as django-storages takes it."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

CONNECT_SECONDS, READ_SECONDS = 5, 20
ATTEMPTS = 2  # of each request, with less than a second between them: a person waits for it


def storage(name: str, *, endpoint: str, region: str) -> dict[str, Any]:
    """The entry of STORAGES for a bucket; raises ImproperlyConfigured where the libraries for it are not installed."""
    try:
        import storages.backends.s3  # noqa: F401, PLC0415  they come with an extra
        from botocore.config import Config  # noqa: PLC0415
    except ImportError:
        raise ImproperlyConfigured('ATTACHMENTS_S3_BUCKET needs `pip install "countersign[s3]"`.') from None
    patience = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
    )
    options = {
        "bucket_name": name,
        "endpoint_url": endpoint or None,
        "region_name": region or None,
        "file_overwrite": False,
        "client_config": patience,
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
