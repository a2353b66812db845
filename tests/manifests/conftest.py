"""Every overlay as it is, and one with everything."""

from __future__ import annotations

import pytest

from tests.manifests.rendered import EVERYTHING, OVERLAYS, Manifest, rendered, with_components


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, ...]:
    """Every component at once."""
    return with_components(tmp_path_factory.mktemp("everything"))


@pytest.fixture(params=[*OVERLAYS, EVERYTHING])
def objects(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """The objects of one overlay after the other."""
    if request.param == EVERYTHING:
        return request.getfixturevalue("everything")
    return rendered(request.param)


@pytest.fixture
def cpu() -> tuple[Manifest, ...]:
    """The plainest overlay that has everything of ours."""
    return rendered("cpu")
