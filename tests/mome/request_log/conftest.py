from collections.abc import Iterator

import pytest

from tests.postgresql import Server, running


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def postgresql(_postgresql: Server) -> Server:
    """Return a server without the table."""
    _postgresql.query("DROP TABLE IF EXISTS mome_requests")
    return _postgresql
