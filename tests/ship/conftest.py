"""A run that several tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pasted_things import Pasted, pasted_things


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cache of every test, for runs that several of them share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAFTWORK_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def pasted(shared_cache: None, tmp_path_factory: pytest.TempPathFactory) -> Pasted:
    return pasted_things(tmp_path_factory.mktemp("pasted"))
