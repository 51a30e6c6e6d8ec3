"""Which thread of the node works on what."""

from service.node.claims import Claims


def test_no_two_threads_work_on_one_thing():
    """What one has taken is not given to another, and is free again when it is done."""
    claims, due = Claims(), list("abcdef")

    def take(share, most):
        return claims.take(lambda limit: due[:limit], str, share, most)

    with take(2, 20) as first, take(2, 20) as second, take(1, 1) as third:
        assert (first, second, third) == (["a", "b", "c"], ["d", "e"], ["f"])
    with take(1, 2) as again:
        assert again == ["a", "b"]
