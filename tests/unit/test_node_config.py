"""node.toml: what it may say, and how what is wrong with it is refused."""

import pytest

from service.errors import SettingRefused
from service.node.config import read_config

SOUND = """
[node]
ae_title = "CXRNODE"
queue = "queue"
service_url = "http://127.0.0.1:3000"

[[accept]]
ae_title = "PACS"
host = "10.1.0.0/16"

[[destination]]
name = "pacs"
kind = "dimse"
host = "10.1.2.3"
port = 104
ae_title = "PACS"
"""


def read(tmp_path, text):
    file = tmp_path / "node.toml"
    file.write_text(text)
    return read_config(file)


def test_a_sound_configuration_is_read(tmp_path):
    """Relative paths are below the file's folder, and addresses may be networks."""
    config = read(tmp_path, SOUND)
    assert config.node.queue == tmp_path / "queue"
    assert config.accept[0].matches_host("10.1.200.7")
    assert not config.accept[0].matches_host("10.2.0.1")


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ('queue = "queue"', 'queue = "queue"\nqeue = 1', "node.qeue"),
        ('queue = "queue"', "", "node.queue"),
        ('ae_title = "CXRNODE"', 'ae_title = "ABCDEFGHIJKLMNOPQ"', "node.ae_title"),
        ("port = 104", "port = 70000", "destination.0.port"),
        ("port = 104", "", "destination.0"),
        ('kind = "dimse"', 'kind = "ftp"', "destination.0.kind"),
        ('host = "10.1.0.0/16"', 'host = "pacs.local"', "accept.0"),
        ("[[accept]]", "[[acept]]", "acept"),
    ],
    ids=["unknown", "missing", "long title", "port", "no port", "kind", "host", "table"],
)
def test_what_is_wrong_is_refused_by_its_name(tmp_path, before, after, named):
    """An unknown key, a missing one and a bad value are each named in the refusal."""
    with pytest.raises(SettingRefused) as caught:
        read(tmp_path, SOUND.replace(before, after, 1))
    assert named in caught.value.message


def test_what_is_no_toml_is_refused_with_the_line(tmp_path):
    """Text that is no TOML is refused with the place."""
    with pytest.raises(SettingRefused, match="line 1"):
        read(tmp_path, "[node\n")
