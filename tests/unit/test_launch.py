"""What `cxr serve` prints before it serves."""

import pytest

from service.commands.launch import banner
from service.network.bundle import read_manifest


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::1", "http://[::1]:3000"),
        ("::", "http://[::1]:3000"),
    ],
)
def test_the_addresses_can_be_opened_as_they_are_printed(demo_bundle, host, url):
    """Where every address is listened on, the one of this machine is printed, and an IPv6 address
    stands in brackets."""
    printed = banner(read_manifest(demo_bundle), host, 3000, keys=False)
    assert f"page:     {url}/\n" in printed
    assert printed.count(url) == 5


def test_where_keys_are_asked_for_the_commands_send_one(demo_bundle):
    """With a file of keys the commands have the header of a key; the probe needs none."""
    printed = banner(read_manifest(demo_bundle), "::1", 3000, keys=True)
    assert ["-H 'x-api-key: KEY'" in line for line in printed.splitlines() if "curl" in line] == [
        True,
        True,
        False,
    ]
