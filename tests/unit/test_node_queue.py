"""The node's queue: what it keeps, and what it does when it is told again."""

import pytest

from service.node.queue import Queue


@pytest.fixture
def queue(tmp_path):
    made = Queue(tmp_path / "queue")
    yield made
    made.close()


def scored(queue, uid="1.2.3", destinations=(("a", "sr"), ("b", "sr"))):
    queue.take(uid, "digest", b"file")
    (instance,) = queue.due_for_scoring(9)
    queue.score(instance.id, {"sr": b"report"}, destinations)
    return instance


def test_an_instance_is_on_disk_when_it_is_taken(queue):
    """The file has its name and its row as soon as the sender is told Success."""
    assert queue.take("1.2.3", "digest", b"file") == "queued"
    (instance,) = queue.due_for_scoring(9)
    assert queue.file(instance.id).read_bytes() == b"file"


def test_the_same_bytes_twice_are_one_instance(queue):
    """A duplicate is known and makes no second job, also from another process's hold."""
    queue.take("1.2.3", "digest", b"file")
    again = Queue(queue.folder)
    assert again.take("1.2.3", "digest", b"file") == "duplicate"
    again.close()
    assert queue.counts() == {"received": 1}


def test_another_content_under_the_same_uid_is_a_conflict(queue):
    """The first is kept as it was, and of the second nothing."""
    queue.take("1.2.3", "digest", b"file")
    assert queue.take("1.2.3", "other", b"fake") == "conflict"
    assert [each.read_bytes() for each in (queue.folder / "received").iterdir()] == [b"file"]


def test_a_file_without_a_row_is_removed_at_the_start(queue):
    """What a crash left between the file and its row goes, and what has a row stays."""
    queue.take("1.2.3", "digest", b"file")
    (queue.folder / "received" / "stray.dcm").write_bytes(b"x")
    queue.remove_unfinished("received")
    (instance,) = queue.due_for_scoring(9)
    assert [each.name for each in (queue.folder / "received").iterdir()] == [f"{instance.id}.dcm"]


def test_destinations_do_not_touch_each_other(queue):
    """One delivery that is dead leaves the other as it was; the instance ends with the last."""
    scored(queue)
    (to_a,) = queue.due_for_delivery("a", 9)
    queue.bury_delivery("a", to_a, "never")
    (to_b,) = queue.due_for_delivery("b", 9)
    queue.deliver("b", to_b)
    assert queue.delivery_counts() == {("a", "dead"): 1, ("b", "delivered"): 1}
    assert [reason for _, _, reason in queue.dead()] == ["never"]


def test_scoring_twice_makes_no_second_delivery(queue):
    """A worker that was killed after scoring and scores again changes nothing delivered."""
    instance = scored(queue)
    (to_a,) = queue.due_for_delivery("a", 9)
    queue.deliver("a", to_a)
    queue.score(instance.id, {"sr": b"report"}, (("a", "sr"), ("b", "sr")))
    assert queue.delivery_counts() == {("a", "delivered"): 1, ("b", "waiting"): 1}


def test_what_was_delivered_is_removed_and_still_known(queue):
    """Files go after their time; the same instance sent again then is a duplicate."""
    instance = scored(queue, destinations=(("a", "sr"),))
    (delivery,) = queue.due_for_delivery("a", 9)
    queue.deliver("a", delivery)
    queue.clean(keep_seconds=0, remember_days=1)
    assert not queue.file(instance.id).exists()
    assert not queue.result(instance.id, "sr").exists()
    assert queue.take("1.2.3", "digest", b"file") == "duplicate"


def test_what_is_dead_is_kept_until_it_is_tried_again_or_dropped(queue):
    """A dead delivery keeps its file; retry makes it due, and drop forgets all of it."""
    instance = scored(queue, destinations=(("a", "sr"),))
    (delivery,) = queue.due_for_delivery("a", 9)
    queue.bury_delivery("a", delivery, "never")
    queue.clean(keep_seconds=0, remember_days=0.000001)
    assert queue.retry(None) == 1
    assert [each.id for each in queue.due_for_delivery("a", 9)] == [instance.id]
    assert queue.drop(instance.id)
    assert not queue.drop(instance.id)
    assert queue.counts() == {}


def test_a_commitment_ends_a_delivery_and_a_failed_one_sends_it_again(queue):
    """What the destination commits itself to is delivered; what it fails to waits once more."""
    scored(queue, destinations=(("a", "sr"), ("a", "sc")))
    first, second = sorted(queue.due_for_delivery("a", 9), key=lambda each: each.kind)
    queue.await_commitment("a", first, "2.25.1 2.25.10")
    queue.await_commitment("a", second, "2.25.1 2.25.11")
    queue.committed("2.25.1", {"2.25.11"})
    assert queue.delivery_counts() == {("a", "delivered"): 1, ("a", "waiting"): 1}


def test_what_is_scored_again_keeps_what_was_delivered(queue):
    """An instance whose results are made once more is due for scoring, its deliveries as before."""
    instance = scored(queue)
    (to_a,) = queue.due_for_delivery("a", 9)
    queue.deliver("a", to_a)
    queue.score_again(instance.id)
    assert [each.id for each in queue.due_for_scoring(9)] == [instance.id]
    assert queue.delivery_counts() == {("a", "delivered"): 1, ("b", "waiting"): 1}
