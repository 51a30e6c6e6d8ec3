"""A served process for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture(scope="session")
def image_context(demo_bundle, tmp_path_factory) -> Path:
    """The demo bundle's bento as the build context of its image, built once for the whole run."""
    from pods import build_context

    return build_context(demo_bundle, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory) -> Path:
    """The mounted secret: the digest of the tests' key."""
    from pods import KEY

    from service.http.middleware.api_keys import digest

    file = tmp_path_factory.mktemp("keys") / "api-keys"
    file.write_text(f"{digest(KEY)}  tests\n")
    return file
