"""What the registry's secret is called in a step, and what S3's clients find."""

import botocore.session
import pytest

from mome.object_store import use_registry_credentials


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL_S3", "DEFAULT_REGION"):
        monkeypatch.setenv(f"AWS_{name}", "")  # what is set below is taken back after the test
        monkeypatch.delenv(f"AWS_{name}")


def test_a_client_of_s3_asks_the_registrys_store_as_the_registrys_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOME_REGISTRY_S3_ACCESS_KEY_ID", "ours")
    monkeypatch.setenv("MOME_REGISTRY_S3_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("MOME_REGISTRY_S3_ENDPOINT_URL", "http://store.example:8333")
    monkeypatch.setenv("MOME_REGISTRY_S3_REGION", "eu-test-1")
    use_registry_credentials()
    session = botocore.session.Session()
    credentials = session.get_credentials()
    assert (credentials.access_key, credentials.secret_key) == ("ours", "hidden")
    client = session.create_client("s3")
    assert client.meta.endpoint_url == "http://store.example:8333"
    assert client.meta.region_name == "eu-test-1"


def test_names_of_aws_count_where_ours_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "theirs")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    use_registry_credentials()
    assert botocore.session.Session().get_credentials().access_key == "theirs"
