"""A served process for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from served import Served, serving


@pytest.fixture(scope="session")
def served(demo_bundle, tmp_path_factory) -> Iterator[Served]:
    """One service for all tests that leave it as it was."""
    with serving(demo_bundle, tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client
