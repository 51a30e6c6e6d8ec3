"""/predict_batch: an answer an image, in order."""

import pytest


def images(*files: bytes) -> list[tuple]:
    return [("images", (f"{number}.png", data)) for number, data in enumerate(files)]


def test_each_image_has_its_own_answer_in_order(client, phantom_png):
    """Good and bad images mixed: each gets in its place what it would get alone."""
    good = [phantom_png(seed, opacity=seed % 2 == 1) for seed in range(10, 22)]
    bad = {0: b"no image", 5: good[0][: len(good[0]) // 2], 13: b""}
    files = [bad[at] if at in bad else good.pop(0) for at in range(15)]
    answer = client.post("/predict_batch", files=images(*files))
    assert answer.status_code == 200
    body = answer.json()
    assert body["failed"] == 3
    assert len(body["answers"]) == 15
    codes = {0: "not_an_image", 5: "truncated_image", 13: "not_an_image"}
    for at, one in enumerate(body["answers"]):
        if at in bad:
            assert one["prediction"] is None
            assert one["error"]["code"] == codes[at]
            continue
        assert one["error"] is None
        alone = client.post("/predict", files={"image": files[at]}).json()
        assert one["prediction"].pop("score") == pytest.approx(alone.pop("score"), abs=1e-4)
        assert one["prediction"]["image"] == alone["image"]
        assert one["prediction"]["positive"] is alone["positive"]


def test_bad_images_alone_are_still_answers(client):
    """Errors of all images do not make an error of the request."""
    answer = client.post("/predict_batch", files=images(b"one", b"two"))
    assert answer.status_code == 200
    assert [one["error"]["code"] for one in answer.json()["answers"]] == ["not_an_image"] * 2


def test_one_image_is_a_batch(client, phantom_png):
    """A batch may be of one."""
    answer = client.post("/predict_batch", files=images(phantom_png(1)))
    assert [one["error"] for one in answer.json()["answers"]] == [None]


REFUSED = {
    "too many": ({"files": images(*[b"x"] * 65)}, 400, "malformed_request"),
    "none": ({"files": [("other", b"x")]}, 400, "malformed_request"),
    "only an empty one": ({"files": images(b"")}, 400, "nothing_sent"),
    "an address": ({"files": {"images": (None, "http://127.0.0.1:9/x")}}, 400, "text_for_file"),
    "nothing": ({}, 400, "nothing_sent"),
    "too many bytes": ({"files": images(bytes(40 << 20), bytes(25 << 20))}, 413, "too_large"),
}


@pytest.mark.parametrize(("request_", "status", "code"), REFUSED.values(), ids=list(REFUSED))
def test_a_request_that_is_no_batch_is_refused(client, request_, status, code):
    """Limits on number and bytes hold for the request as a whole."""
    answer = client.post("/predict_batch", **request_)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
