import hashlib
import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from checkpoints import Mark

from export.checkpoints import checkpoint
from export.checkpoints.cache import RECORDS, default_folder
from export.checkpoints.upstream import OFFICIAL
from export.checkpoints.weights import load_official, load_weights
from export.errors import DownloadFailed, WeightsRefused

UNPINNED = OFFICIAL["densenet121-res224-rsna"]
FILE = "weights.pt"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def content(published):
    return published.read_bytes()


@pytest.fixture
def marking(tmp_path):
    """A file that shows whether it was unpickled, and how to tell.

    Its tensors are no network, so after the mark is left it is refused.
    """
    mark, path = tmp_path / "unpickled", tmp_path / "marking.pt"
    torch.save({"mark": Mark(mark), "blob": torch.zeros(1000)}, path)
    return path.read_bytes(), mark


def flipped(data):
    """The same bytes but one, which lies in the tensor and keeps nothing from unpickling."""
    at = data.index(bytes(512)) + 256
    return data[:at] + b"\x01" + data[at + 1 :]


@pytest.fixture
def official(serve, content):
    """Pinned weights, published on a server of our own, and that server."""
    server = serve(content)
    pinned = replace(UNPINNED, url=server.url, size=len(content), sha256=sha256(content))
    return pinned, server


@pytest.fixture
def folders(tmp_path):
    """The cache, and the folder where the library would keep its downloads."""
    return tmp_path / "cache", tmp_path / "models_data"


def test_published_weights_are_fetched_once(official, folders, network, content):
    """A name gives the published tensors, labels and digest, and is downloaded only once."""
    pinned, server = official
    first = load_official(pinned, *folders)
    again = load_official(pinned, *folders)
    assert len(server.behaviour.asked) == 1
    for weights in (first, again):
        assert (weights.name, weights.source) == ("densenet121-res224-rsna", "official")
        assert (weights.url, weights.sha256) == (pinned.url, sha256(content))
        assert (weights.demo, weights.training_ages) == (False, None)
        assert weights.labels == UNPINNED.labels
        assert weights.operating_points == UNPINNED.operating_points
        for name, tensor in network.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(weights.state[name], tensor), name


def test_it_is_unpickled_once(official, folders):
    """From the second time on the safetensors file is read, with the pickle gone and no server."""
    pinned, server = official
    weights = load_official(pinned, *folders)
    (folders[0] / FILE).unlink()
    server.behaviour.status = 500
    again = load_official(pinned, *folders)
    assert again.sha256 == weights.sha256
    assert all(torch.equal(again.state[name], weights.state[name]) for name in weights.state)
    on_disc = safetensors.torch.load_file(folders[0] / f"{pinned.name}.safetensors")
    assert set(on_disc) == set(weights.state)


def test_a_changed_conversion_is_made_anew(official, folders, caplog):
    """A safetensors file whose digest is not the recorded one is not read, and that is said."""
    pinned, _ = official
    weights = load_official(pinned, *folders)
    converted = folders[0] / f"{pinned.name}.safetensors"
    good = converted.read_bytes()
    converted.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    again = load_official(pinned, *folders)
    assert torch.equal(again.state["classifier.weight"], weights.state["classifier.weight"])
    assert converted.read_bytes() == good
    assert "was changed since it was written" in caplog.text


def test_the_marking_file_marks(marking):
    """The flipped file below can be unpickled: the tests that use it could fail."""
    data, mark = marking
    with pytest.raises(WeightsRefused, match='"mark" is no tensor'):
        checkpoint.read_torch(flipped(data), "marking", trusted=True)
    assert mark.exists()


@pytest.mark.parametrize("place", ["cache", "library", "server"])
def test_a_flipped_byte_is_refused_before_unpickling(serve, folders, marking, place):
    """A file that is not the pinned one is never unpickled, wherever it comes from."""
    data, mark = marking
    server = serve(flipped(data))
    pinned = replace(UNPINNED, url=server.url, size=len(data), sha256=sha256(data))
    if place != "server":
        folder = folders[0] if place == "cache" else folders[1]
        folder.mkdir()
        (folder / FILE).write_bytes(flipped(data))
    with pytest.raises(WeightsRefused, match=sha256(flipped(data))) as refusal:
        load_official(pinned, *folders)
    assert refusal.value.code == "wrong_digest"
    assert not mark.exists()
    assert len(server.behaviour.asked) == (place == "server")


def test_without_a_published_digest_the_first_one_is_recorded(official, folders, content, caplog):
    """First use records size and digest, and says so."""
    pinned, _ = official
    load_official(replace(pinned, size=None, sha256=None), *folders)
    record = json.loads((folders[0] / RECORDS).read_bytes())[FILE]
    assert (record["size"], record["sha256"]) == (len(content), sha256(content))
    assert f"recorded {sha256(content)}" in caplog.text


@pytest.mark.parametrize("place", ["cache", "server"])
def test_a_later_mismatch_with_the_record_is_refused(official, folders, marking, place):
    """What was recorded on first use is held from then on: another file is not unpickled."""
    pinned, server = official
    unpinned = replace(pinned, size=None, sha256=None)
    load_official(unpinned, *folders)
    data, mark = marking
    if place == "cache":
        (folders[0] / FILE).write_bytes(data)
    else:
        for path in (folders[0] / FILE, folders[0] / f"{pinned.name}.safetensors"):
            path.unlink()
        server.behaviour.content = data
    with pytest.raises(WeightsRefused):
        load_official(unpinned, *folders)
    assert not mark.exists()


def test_a_refused_file_is_not_recorded(serve, folders, marking):
    """A file that turns out to be no such network is not what is held from then on."""
    server = serve(marking[0])
    with pytest.raises(WeightsRefused, match='"mark" is no tensor'):
        load_official(replace(UNPINNED, url=server.url), *folders)
    assert not (folders[0] / RECORDS).exists()


def test_damaged_records_are_refused(official, folders):
    """Records that cannot be read are not taken for none."""
    folders[0].mkdir()
    (folders[0] / RECORDS).write_text('{"weights.pt": {"sha256"')
    with pytest.raises(WeightsRefused, match=RECORDS):
        load_official(official[0], *folders)


def test_the_librarys_own_download_is_used(official, folders, content):
    """What TorchXRayVision has downloaded already is not downloaded again."""
    pinned, server = official
    folders[1].mkdir()
    (folders[1] / FILE).write_bytes(content)
    assert load_official(pinned, *folders).sha256 == sha256(content)
    assert server.behaviour.asked == []


@pytest.mark.parametrize("pinned", [True, False], ids=["digest published", "no digest published"])
def test_offline_the_message_says_what_to_do(official, folders, pinned):
    """Without the server: URL, size, digest, where to put the file, and the demo weights."""
    one, server = official
    server.behaviour.status = 503
    if not pinned:
        one = replace(one, size=None, sha256=None)
    with pytest.raises(DownloadFailed) as failure:
        load_official(one, *folders)
    message = failure.value.message
    assert "the server answered 503" in message
    assert one.url in message
    assert str(folders[0] / FILE) in message
    assert "~/.torchxrayvision/models_data/weights.pt" in message
    assert "--weights demo" in message
    if pinned:
        assert f"{one.size:,} bytes" in message
        assert one.sha256 in message
    else:
        assert message.count("not published") == 2


def test_what_the_message_says_helps(official, folders, content):
    """A file put where the message says is found by the next run."""
    pinned, server = official
    server.behaviour.status = 503
    with pytest.raises(DownloadFailed) as failure:
        load_official(pinned, *folders)
    target = next(line for line in failure.value.message.splitlines() if str(folders[0]) in line)
    with open(target.strip(), "wb") as file:  # noqa: PTH123 (as a person would copy it)
        file.write(content)
    assert load_official(pinned, *folders).sha256 == sha256(content)


def test_an_unwritable_cache_is_an_error_of_its_own(official, tmp_path):
    """Where the cache cannot be made, the message names it."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsRefused, match="cannot be written"):
        load_official(official[0], tmp_path / "file" / "cache")


def test_a_name_finds_a_file_put_into_the_cache(tmp_path, content):
    """`load_weights` looks into the folder that it is given."""
    (tmp_path / UNPINNED.filename).write_bytes(content)
    weights = load_weights("densenet121-res224-rsna", cache_dir=tmp_path)
    assert weights.sha256 == sha256(content)


def test_an_expected_digest_holds_for_names_too(tmp_path, content):
    """A digest that the caller gives is compared where none is pinned, and with the pin."""
    (tmp_path / UNPINNED.filename).write_bytes(content)
    with pytest.raises(WeightsRefused, match="0" * 64):
        load_weights("densenet121-res224-rsna", cache_dir=tmp_path, sha256="0" * 64)
    with pytest.raises(WeightsRefused, match="0" * 64):
        load_weights("densenet121-res224-all", cache_dir=tmp_path, sha256="0" * 64)


def test_the_cache_follows_the_xdg_rule(monkeypatch, tmp_path):
    """`XDG_CACHE_HOME` moves the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "cxr-pneumonia"
