"""The page in a real browser, with a server between that can be told to fail."""

from __future__ import annotations

import importlib.util
import io
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

pytest.importorskip("selenium", reason="selenium is not installed: the page is not tested")

import browser as chromium
from between import Between, canned, fault, keyed, pass_on
from PIL import Image, ImageDraw
from pydicom.data import get_testdata_file
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from service.explain.drawing.colour_map import COLOURS
from service.explain.hotspot import at_input
from service.http.page_files import FOLDER
from service.network.answer import DEMO_WARNING

SAMPLES = FOLDER / "samples"


@pytest.fixture(scope="module")
def between(served):
    server = Between(served.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.as_usual()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    found = chromium.installed()
    if found is None:
        pytest.skip("no Chromium with chromedriver is installed here: the page is not tested")
    driver = chromium.start(*found, tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def page(driver, between):
    """The page, just opened; whatever a test does, nothing is asked of any other host."""
    between.as_usual()
    page = chromium.Page(driver, between.url).open()
    yield page
    between.as_usual()
    driver.execute_script("localStorage.clear()")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    page.media()
    assert page.hosts() == {between.host}
    assert page.complaints() == []


@pytest.fixture(scope="module")
def opacity(served):
    """What the service says of the phantom with an opacity."""
    return _predict(served, "opacity.png")


def _predict(served, name: str) -> dict:
    files = {"image": (SAMPLES / name).read_bytes()}
    return httpx.post(f"{served.url}/predict", files=files, timeout=60).json()


def _explain(served, name: str, **fields: str) -> dict:
    files = {"image": (SAMPLES / name).read_bytes()}
    data = {"method": "cam", **fields}
    return httpx.post(f"{served.url}/explain", files=files, data=data, timeout=60).json()


def _colourful(pixels: np.ndarray) -> np.ndarray:
    """How far each pixel is from grey."""
    colours = pixels[..., :3].astype(int)
    return colours.max(axis=-1) - colours.min(axis=-1)


def _point(page, answer: dict) -> tuple[int, int]:
    """Row and column on the stage of an explanation's peak, the whole image being shown."""
    rows, columns = page.canvas().shape[:2]
    width, height = answer["image"]["width"], answer["image"]["height"]
    scale = min(columns / width, rows / height)
    left, top = (columns - width * scale) / 2, (rows - height * scale) / 2
    peak = answer["peak"]
    return int(top + (peak["row"] + 0.5) * scale), int(left + (peak["column"] + 0.5) * scale)


def test_model_and_notices_are_in_view_before_anything_is_sent(page, opacity, between):
    """At the start the page says which model answers, that it is a demo and not for clinics."""
    model = opacity["model"]
    assert page.text("model") == f"Model {model['name']} {model['version']}"
    assert "Not for clinical use." in page.text("notice")
    assert DEMO_WARNING.split(".")[0] in page.text("notice")
    assert {path for path, _ in between.bodies} & {"/predict", "/explain", "/preview"} == set()
    shown = [image.get_property("naturalWidth") for image in page.all(".samples img")]
    assert shown == [384, 384, 384]


def test_a_result_tells_score_and_probability_apart(page, opacity):
    """The finding, its score beside the operating point and its probability are all named."""
    page.sample()
    assert page.text("verdict-title") == "Pneumonia positive"
    score, probability = f"{opacity['score']:.2f}", f"{100 * opacity['probability']:.1f} %"
    assert page.text("verdict-text") == (
        f"Score {score}, above its operating point (0.50). "
        f"Probability {probability}, not calibrated."
    )
    assert page.find(".finding").accessible_name == (
        f"Pneumonia: score {score}, above its operating point; probability {probability}"
    )
    assert page.heard() == f"phantom opacity.png: Pneumonia {score} positive."


def test_an_unusual_image_says_so_above_its_score_and_larger(page, tmp_path):
    """The doubt stands first, no text of the score is larger, and nothing is coloured positive."""
    pale = tmp_path / "pale.png"
    phantom = np.asarray(Image.open(SAMPLES / "opacity.png"))
    Image.fromarray((phantom * 0.7 + 40).astype(np.uint8)).save(pale)
    page.give(pale)
    page.until(lambda: page.text("doubt-title") == "Unusual image")

    def size(selector):
        return float(page.find(selector).value_of_css_property("font-size").removesuffix("px"))

    doubt, verdict = page.find("#doubt"), page.find("#verdict")
    assert doubt.location["y"] < verdict.location["y"]
    scores = ("#verdict-title", "#verdict-text", ".finding-score", ".finding-name")
    assert all(size(selector) < size("#doubt-title") for selector in scores)
    plain = page.find("#doubt-text").value_of_css_property("color")
    for selector in ("#verdict-title", ".finding-name", ".finding-score"):
        assert page.find(selector).value_of_css_property("color") == plain
    assert "times their median" in page.text("doubt-distance")
    assert page.text("warnings").startswith("Unusual image: its distance from the reference")
    assert page.find(".tile-state").text.endswith("unusual")
    page.give(SAMPLES / "opacity.png")
    page.until(lambda: page.text("warnings") == "" and page.all(".finding"))
    assert not doubt.is_displayed()


def test_what_is_far_outside_is_refused_with_its_distance(page, tmp_path):
    """A page of text is not scored, and the message says how far it is."""
    path = tmp_path / "text.png"
    sheet = Image.new("L", (600, 800), 255)
    ImageDraw.Draw(sheet).multiline_text((40, 40), "No radiograph.\n" * 40, fill=0)
    sheet.save(path)
    page.give(path)
    page.until(lambda: page.text("message-code") == "not_a_chest_radiograph (422)")
    assert page.text("message-title") == "Not scored: unlike a frontal chest radiograph"
    assert "times their median" in page.text("message-text")
    assert page.text("verdict-title") == "Not scored"


def test_one_without_an_opacity_is_negative(page):
    """A phantom without an opacity is shown as negative, in words and not by colour alone."""
    page.sample("clear.png")
    assert page.text("verdict-title") == "Pneumonia negative"
    assert "not above its operating point" in page.text("verdict-text")


def test_a_click_on_a_finding_shows_its_map_and_another_hides_it(page, served):
    """The map lies where the answer says: colour at the peak, none while it is off."""
    page.sample()
    answer = _explain(served, "opacity.png")
    at = _point(page, answer)
    assert _colourful(page.canvas()).max() == 0
    page.with_heat()
    assert answer["peak"]["words"] in page.text("evidence-text")
    assert answer["peak"]["words"] in page.heard()
    assert page.find(".finding").get_attribute("aria-pressed") == "true"
    near = _colourful(page.canvas())[at[0] - 14 : at[0] + 14, at[1] - 14 : at[1] + 14]
    assert np.median(near) > 50
    page.click(".finding")
    assert _colourful(page.canvas()).max() == 0
    assert page.find(".finding").get_attribute("aria-pressed") == "false"


def test_the_map_has_a_key_and_a_button(page):
    """H and the button switch the map on and off, and the button says which."""
    page.sample()
    for switch in (lambda: page.keys("h"), lambda: page.click("#heat")):
        switch()
        page.until(lambda: page.find("#legend").is_displayed())
        assert page.find("#heat").get_attribute("aria-pressed") == "true"
        switch()
        page.until(lambda: not page.find("#legend").is_displayed())
        assert page.find("#heat").get_attribute("aria-pressed") == "false"


def test_opacity_by_slider_and_keys(page):
    """The slider and its keys set how strong the colours are, down to none."""
    page.sample().with_heat()
    page.click("#marks")
    strong = _colourful(page.canvas()).max()
    page.keys(*"[[[[")
    weak = _colourful(page.canvas()).max()
    assert page.find("#opacity").get_property("value") == "25"
    assert 0 < weak < strong
    page.find("#opacity").send_keys(Keys.HOME)
    assert _colourful(page.canvas()).max() == 0


def test_box_and_margins(page, served):
    """Marks draw the box where the answer has it and hatch what the network did not see."""
    page.sample("wide.png")
    bare = page.canvas()
    page.with_heat()
    marked = page.canvas()
    answer = _explain(served, "wide.png")
    rows, columns = marked.shape[:2]
    scale = min(columns / 384, rows / 288)
    left, top = (columns - 384 * scale) / 2, (rows - 288 * scale) / 2
    edge = int(left + answer["unseen"]["left"] * scale)
    margin = np.s_[int(top) + 4 : int(top + 288 * scale) - 4, int(left) + 4 : edge - 4]
    assert (bare[margin] != marked[margin]).any(axis=-1).mean() > 0.5
    assert _colourful(marked[margin]).max() == 0
    box = answer["box"]
    middle = int(top + (box["top"] + box["height"] / 2) * scale)
    at = round(left + box["left"] * scale)
    blue = marked[middle, at - 3 : at + 4, 2].astype(int) - marked[middle, at - 3 : at + 4, 0]
    assert blue.max() > 80
    assert "The network did not see" in page.text("warnings")
    page.keys("b")
    assert (page.canvas()[margin] == bare[margin]).all()


def test_window_and_level_by_dragging(page):
    """Dragging across sets the window, up and down the level, as the picture and words show."""
    page.sample()
    before = page.canvas()
    page.drag(-100, 40)
    assert page.levels() == "W 156  L 168"
    assert (page.canvas() != before).any()
    page.find("#stage").send_keys(Keys.SHIFT + Keys.ARROW_RIGHT)
    assert page.levels() == "W 164  L 168"
    page.keys("r")
    assert page.levels() == "W 256  L 128"
    assert (page.canvas() == before).all()


def test_window_and_level_by_slider(page):
    """Who cannot drag sets window and level with sliders."""
    page.sample()
    page.click(".greys summary")
    page.find("#window").send_keys(Keys.HOME)
    page.find("#level").send_keys(Keys.END)
    assert page.levels() == "W 2  L 255"


def test_invert(page):
    """Inverting turns every grey into its complement, and back."""
    page.sample()
    before = page.canvas()
    page.click("#invert")
    inside = np.s_[200:400, 400:500, :3]
    assert np.abs(255 - before[inside].astype(int) - page.canvas()[inside]).max() <= 1
    assert page.find("#invert").get_attribute("aria-pressed") == "true"
    page.keys("i")
    assert (page.canvas() == before).all()


def _zoom(page) -> float:
    page.frame()
    return float(page.text("zoom").removesuffix(" %"))


def test_zoom_by_buttons_keys_and_double_click(page):
    """Buttons, keys and double click zoom; Fit and 0 show the whole image again."""
    page.sample()
    whole = _zoom(page)
    for closer, back in (
        (lambda: page.click("#zoom-in"), lambda: page.click("#fit")),
        (lambda: page.keys("+"), lambda: page.keys("0")),
    ):
        closer()
        assert _zoom(page) == pytest.approx(1.25 * whole, abs=1)
        back()
        assert _zoom(page) == whole
    page.keys("+")
    page.click("#zoom-out")
    assert _zoom(page) == whole
    stage = page.find("#stage")
    ActionChains(page.driver).double_click(stage).perform()
    assert _zoom(page) == pytest.approx(2.5 * whole, abs=1)
    ActionChains(page.driver).double_click(stage).perform()
    assert _zoom(page) == whole


def test_wheel_and_pinch(page):
    """The wheel and two fingers zoom about where they are."""
    page.sample()
    whole = _zoom(page)
    stage = page.find("#stage")
    ActionChains(page.driver).scroll_from_origin(
        chromium.origin(stage), delta_x=0, delta_y=-300
    ).perform()
    page.until(lambda: _zoom(page) > 1.4 * whole)
    page.keys("0")
    box = stage.rect
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for kind, apart in (("touchStart", 40), ("touchMove", 80), ("touchMove", 120), ("touchEnd", 0)):
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        page.driver.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if apart else []}
        )
    page.until(lambda: _zoom(page) == pytest.approx(3 * whole, rel=0.05))


def _centre(pixels: np.ndarray) -> np.ndarray:
    return np.argwhere(pixels[..., 0] > 128).mean(axis=0)


@pytest.fixture
def large(tmp_path) -> Path:
    """2400 x 2000 pixels, black above and dark below, with a white square in the middle."""
    pixels = np.zeros((2000, 2400), np.uint8)
    pixels[1000:] = 60
    pixels[950:1050, 1150:1250] = 255
    path = tmp_path / "large.png"
    Image.fromarray(pixels).save(path)
    return path


def test_move_and_actual_size(page, large, between, opacity):
    """1:1 shows pixel for pixel; dragging with Move, or with the right button, and arrows move."""
    # The service refuses what is no radiograph.
    image = opacity["image"] | {"width": 2400, "height": 2000}
    between.answer("/predict", 200, opacity | {"image": image})
    page.give(large)
    page.settled()
    page.keys("1")
    assert _zoom(page) == 100
    start = _centre(page.canvas())
    assert (page.canvas()[..., 0] > 128).sum() == pytest.approx(100 * 100, rel=0.1)
    page.click("#tool-move")
    page.drag(60, 30)
    assert _centre(page.canvas()) - start == pytest.approx([30, 60], abs=1)
    page.click("#tool-window")
    page.drag(-60, -30, button=2)
    assert _centre(page.canvas()) == pytest.approx(start, abs=1)
    page.find("#stage").send_keys(Keys.ARROW_RIGHT)
    assert _centre(page.canvas()) - start == pytest.approx([0, -40], abs=1)
    assert page.levels() == "W 256  L 128"


def test_several_files_are_a_strip_with_their_states(page, tmp_path):
    """Each file says whether it is positive, negative or refused; keys go from one to the next."""
    text = tmp_path / "notes.txt"
    text.write_text("no radiograph")
    page.give(SAMPLES / "opacity.png", text, SAMPLES / "clear.png")
    page.settled()

    def states():
        return [tile.text for tile in page.all(".tile-state")]

    page.until(lambda: not {"waiting", "reading…"} & set(states()))
    assert states() == ["0.99 positive", "refused", "0.15 negative"]
    assert page.text("name") == "opacity.png"
    page.keys("n")
    assert page.text("message-title") == "Not an image file"
    page.keys("n")
    page.settled()
    assert page.text("verdict-title") == "Pneumonia negative"
    page.keys("p", "p")
    page.settled()
    assert page.text("verdict-title") == "Pneumonia positive"
    page.all(".tile-open")[2].click()
    page.settled()
    assert page.text("name") == "clear.png"
    for left in (2, 1, 0):
        page.all(".tile-remove")[-1].click()
        assert len(page.all(".tile")) == left
    assert page.find("#start").is_displayed()


def test_a_dropped_file_is_read(page):
    """A file that is dropped anywhere on the page is opened."""
    page.driver.execute_async_script(
        "const [url, done] = arguments;"
        "fetch(url).then((a) => a.blob()).then((blob) => {"
        " const data = new DataTransfer(); data.items.add(new File([blob], 'dropped.png'));"
        " for (const kind of ['dragenter', 'dragover', 'drop'])"
        "  document.body.dispatchEvent(new DragEvent(kind,"
        "   {dataTransfer: data, bubbles: true, cancelable: true}));"
        " done(); });",
        "/page/samples/opacity.png",
    )
    page.settled()
    assert page.text("name") == "dropped.png"
    assert not page.find("#drop").is_displayed()


def test_the_view_of_each_file_is_kept(page):
    """Going to another file and back shows the first as it was left."""
    page.give(SAMPLES / "opacity.png", SAMPLES / "clear.png")
    page.settled()
    page.keys("+", "i")
    left = (_zoom(page), page.levels())
    page.keys("n")
    page.settled()
    assert "inverted" not in page.levels()
    page.keys("p")
    page.settled()
    assert (_zoom(page), page.levels()) == left


def test_dicom_is_shown_as_the_service_sees_it(page, served):
    """A DICOM file, which no browser can draw, is shown as the service's preview has it."""
    path = Path(get_testdata_file("RG1_UNCR.dcm"))
    page.give(path)
    page.settled()
    answer = httpx.post(f"{served.url}/preview", files={"image": path.read_bytes()}, timeout=60)
    preview = Image.open(io.BytesIO(answer.content))
    pixels = page.canvas()
    rows, columns = pixels.shape[:2]
    scale = min(columns / preview.width, rows / preview.height)
    size = round(preview.width * scale), round(preview.height * scale)
    top, left = (rows - size[1]) // 2, (columns - size[0]) // 2
    shown = pixels[top : top + size[1], left : left + size[0], 0].astype(float)
    expected = np.asarray(preview.resize(size, Image.Resampling.BOX)).astype(float)
    assert np.abs(shown - expected).mean() < 3
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.99
    page.with_heat()
    assert "the patient's" in page.text("evidence-text")


def test_a_files_name_is_not_sent(page, between, tmp_path):
    """The name of a file may name a patient: it stays in the browser."""
    path = tmp_path / "DOE^JANE.png"
    path.write_bytes((SAMPLES / "opacity.png").read_bytes())
    page.give(path)
    page.settled().with_heat()
    sent = [body for name, body in between.bodies if name in ("/predict", "/preview", "/explain")]
    assert len(sent) == 3
    assert not any(b"DOE" in body for body in sent)


def test_findings_are_in_order(page, between, opacity):
    """Pneumonia leads, then the positive findings, then the others, each group by score."""
    scores = {"Effusion": 0.7, "Hernia": 0.1, "Lung_Opacity": 0.9, "Pneumonia": 0.4, "Mass": 0.45}
    pathologies = {
        name: {"score": score, "probability": score / 10, "positive": score > 0.5}
        for name, score in scores.items()
    }
    between.answer("/predict", 200, opacity | {"pathologies": pathologies})
    page.sample()
    names = [name.text for name in page.all(".finding-name")]
    assert names == ["Pneumonia", "Lung Opacity", "Effusion", "Mass", "Hernia"]
    fills, points = page.all(".bar-fill"), page.all(".bar-point")
    for bar, filled, point, name in zip(page.all(".bar"), fills, points, names, strict=True):
        share = filled.rect["width"] / bar.rect["width"]
        assert share == pytest.approx(scores[name.replace(" ", "_")], abs=0.01)
        middle = point.rect["x"] + point.rect["width"] / 2 - bar.rect["x"]
        assert middle == pytest.approx(bar.rect["width"] / 2, abs=0.6)


def test_a_sites_decision_is_said(page, between, opacity):
    """With a site file the verdict and the finding say its decision and calibrated probability."""
    found = opacity["pathologies"]["Pneumonia"]
    site = {"decision": "uncertain", "calibrated_probability": 0.432, "operating_point": 0.5}
    pathologies = {"Pneumonia": found | {"site": site}}
    between.answer("/predict", 200, opacity | {"pathologies": pathologies})
    page.sample()
    said = "At this site uncertain, calibrated probability 43.2 %."
    assert page.text("verdict-text").endswith(said)
    assert page.all("button.finding")[0].get_attribute("aria-label").endswith(said)


def test_another_method_and_layer(page, served):
    """A map by another method is asked for and shown, and says what a test of it found."""
    page.sample().with_heat()
    page.select("method", "HiResCAM")
    page.select("layer", "dense block 4")
    page.until(lambda: page.find("#evidence").get_attribute("aria-busy") is None)
    answer = _explain(served, "opacity.png", method="hirescam", layer="denseblock4")
    page.until(lambda: answer["peak"]["words"] in page.text("evidence-text"))
    page.click("#test-map")
    page.until(lambda: page.find("#evidence-test").is_displayed())
    assert page.text("evidence-test").startswith("With the hottest tenth blurred the score")


def test_no_map_has_its_reason(page, between, served):
    """Where there is nothing to show, the page says why and draws nothing."""
    bare = _explain(served, "opacity.png") | {
        "map": None,
        "peak": None,
        "box": None,
        "reason": "Nothing speaks for it.",
    }
    between.answer("/explain", 200, bare)
    page.sample()
    page.click(".finding")
    page.until(lambda: "Nothing speaks" in page.text("evidence-text"))
    assert page.text("evidence-text") == "No heat map for Pneumonia. Nothing speaks for it."
    assert _colourful(page.canvas()).max() == 0
    assert not page.find("#legend").is_displayed()


REFUSALS = {
    "400": (400, "truncated_image", "The file is damaged or not complete", False),
    "400 form": (400, "malformed_request", "The request was not understood", True),
    "408": (408, "too_slow", "Sending the file took too long", True),
    "413": (413, "too_large", "The file is too large", False),
    "415": (415, "not_an_image", "Not an image file", False),
    "422": (422, "unprocessable", "This image is not scored", False),
    "422 view": (422, "not_frontal", "This is not a frontal view", False),
    "422 modality": (422, "modality", "This is not a radiograph", False),
    "422 size": (422, "too_small", "The image is too small", False),
    "422 syntax": (422, "transfer_syntax", "This compression is not read", False),
    "500": (500, "inference_failed", "The service failed on this image", True),
    "503": (503, "unavailable", "The service is not ready", True),
    "504": (504, "deadline_exceeded", "The service took too long", True),
    "a proxy's own": (502, "http_502", "No answer could be had", True),
}


def test_refusals_are_in_plain_words(page, between):
    """Each refusal has words of its own, the service's own sentence, and its code."""
    between.refuse("/predict", 503, "unavailable", "The service says this.")
    page.click('[data-sample="opacity.png"]')
    page.until(lambda: page.text("message-title") == "The service is not ready")
    for status, code, title, again in REFUSALS.values():
        between.refuse("/predict", status, code, "The service says this.")
        page.driver.execute_script("document.getElementById('again').click()")
        page.until(lambda shown=f"{code} ({status})": page.text("message-code") == shown)
        assert page.text("message-title") == title
        assert "The service says this." in page.text("message-text")
        assert page.find("#again").is_displayed() is again
    assert page.find("#message-words").get_attribute("role") == "alert"


def test_a_real_refusal_comes_through(page, tmp_path):
    """A damaged file is refused by the service itself, in plain words."""
    path = tmp_path / "half.png"
    path.write_bytes((SAMPLES / "opacity.png").read_bytes()[:20_000])
    page.give(path)
    page.until(lambda: page.text("message-title") == "The file is damaged or not complete")
    assert page.text("message-code") == "truncated_image (400)"
    assert not page.find("#again").is_displayed()
    assert not page.all(".finding")


def test_a_file_over_the_limit_is_not_even_sent(page, between, tmp_path):
    """A file larger than the service takes is refused on the spot, with both sizes."""
    path = tmp_path / "huge.dcm"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    page.give(path)
    page.until(lambda: page.text("message-title") == "The file is too large")
    assert "It has 65 MiB; 64 are accepted." in page.text("message-text")
    assert "/predict" not in {name for name, _ in between.bodies}


def test_a_busy_service_is_asked_again(page, between):
    """429 is waited out for as long as the service says, and then the answer is shown."""
    busy = canned(429, fault("overloaded"), Retry_After="2")
    between.behave("/predict", busy, pass_on)
    page.click('[data-sample="opacity.png"]')
    page.until(lambda: "The service is busy. Trying again in" in page.text("progress-text"))
    page.settled()
    assert page.text("verdict-title") == "Pneumonia positive"


def test_a_slow_answer_is_said_to_be_slow_and_can_be_cancelled(page, between):
    """The picture is there at once; a slow answer is named, and cancelling it leaves the page."""
    between.hold("/predict")
    page.click('[data-sample="opacity.png"]')
    page.until(lambda: page.text("zoom"))
    assert page.canvas()[..., 0].max() > 200
    page.until(lambda: page.text("progress-text").startswith("Still no answer after"))
    assert page.heard() == "Still no answer. You can wait or cancel."
    page.click("#cancel")
    page.until(lambda: page.text("message-title") == "Cancelled")
    assert [tile.text for tile in page.all(".tile-state")] == ["cancelled"]
    between.as_usual()
    page.click("#again")
    page.settled()
    assert page.text("verdict-title") == "Pneumonia positive"


def test_a_lost_connection_is_said_and_mended(page, between):
    """Without a connection the page says so, and Try again works once it is back."""
    between.drop("/predict")
    page.click('[data-sample="opacity.png"]')
    page.until(lambda: page.text("message-title") == "The connection to the service was lost")
    between.as_usual()
    page.click("#again")
    page.settled()
    assert page.text("verdict-title") == "Pneumonia positive"
    between.drop("/explain")
    page.click(".finding")
    page.until(lambda: "connection to the service was lost" in page.text("evidence-text"))
    assert page.text("verdict-title") == "Pneumonia positive"


def test_a_map_that_cannot_be_made_leaves_the_result(page, between):
    """When the explainer is down the findings stay and the map's place says why there is none."""
    between.refuse("/explain", 503, "explainer_unavailable", "It is down.")
    page.sample()
    page.click(".finding")
    page.until(lambda: "explainer_unavailable" in page.text("evidence-text"))
    assert "It is down." in page.text("evidence-text")
    assert page.text("verdict-title") == "Pneumonia positive"
    assert not page.find("#legend").is_displayed()


def test_a_service_with_keys_asks_for_one(page, between):
    """Where keys are required the page asks, says when one is wrong, and goes on with the right."""
    for path in ("/about.json", "/predict", "/preview"):
        between.behave(path, keyed("right"))
    page.open()
    page.until(lambda: page.find("#key-field").is_displayed())
    page.find("#key-field").send_keys("wrong", Keys.ENTER)
    page.until(lambda: "This key is not known" in page.text("key-text"))
    page.click("#key-close")
    page.click('[data-sample="opacity.png"]')
    page.until(lambda: page.text("message-title") == "The service asks for a key")
    page.click("#enter-key")
    page.find("#key-field").send_keys("right", Keys.ENTER)
    page.settled()
    assert page.text("verdict-title") == "Pneumonia positive"
    assert (
        page.driver.execute_script("return document.cookie + JSON.stringify(localStorage)") == "{}"
    )


def test_everything_by_keyboard(page):
    """From the start to a heat map and back without a mouse, the focus always in sight."""
    page.driver.execute_script("document.activeElement.blur()")
    for _ in range(12):
        page.keys(Keys.TAB)
        if page.driver.switch_to.active_element.get_attribute("data-sample"):
            break
    page.keys(Keys.ENTER)
    page.settled()
    assert page.driver.switch_to.active_element.get_attribute("id") == "stage"
    assert page.find("#stage").value_of_css_property("outline-style") == "solid"
    page.keys(Keys.TAB)
    assert page.driver.switch_to.active_element.get_attribute("class") == "finding positive"
    page.keys(Keys.ENTER)
    page.until(lambda: page.find("#legend").is_displayed())
    assert page.find("#stage").accessible_name.endswith("heat map of Pneumonia")
    page.keys("?")
    page.until(lambda: page.find("#help-dialog").is_displayed())
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.find("#help-dialog").is_displayed())


def test_single_keys_can_be_switched_off(page):
    """Who speaks to the computer can switch single keys off; the buttons still work."""
    page.sample()
    page.click("#help")
    page.click("#single-keys")
    page.keys(Keys.ESCAPE)
    page.keys("i")
    assert page.levels() == "W 256  L 128"


def test_dark_unless_light_is_chosen(page):
    """The page is dark; light and the system's own colours can be chosen and are kept."""

    def theme():
        return page.find("html").get_attribute("data-theme")

    page.media(prefers_color_scheme="light")
    assert theme() == "dark"
    page.select("theme", "Light")
    assert theme() == "light"
    page.select("theme", "System")
    assert theme() == "light"
    page.media(prefers_color_scheme="dark")
    page.until(lambda: theme() == "dark")
    page.driver.refresh()
    assert page.find("#theme").get_property("value") == "system"


def test_nothing_turns_where_motion_is_reduced(page, between):
    """The only thing that moves stands still for those who asked for less motion."""
    between.hold("/predict")
    page.media(prefers_reduced_motion="reduce")
    page.click('[data-sample="opacity.png"]')
    page.until(lambda: page.find("#progress").is_displayed())
    assert page.find(".spinner").value_of_css_property("animation-name") == "none"


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (768, 1024), (390, 844)])
def test_tablets_and_phones(page, width, height):
    """On narrow screens nothing is cut off sideways and model and notice stay in view."""
    page.sample().with_heat()
    page.size(width, height)
    page.frame()
    wide, room = page.driver.execute_script(
        "const e = document.documentElement; return [e.scrollWidth, e.clientWidth];"
    )
    assert wide == room
    page.driver.execute_script("window.scrollTo(0, document.documentElement.scrollHeight)")
    for name in ("notice", "model"):
        top, bottom, hit = page.driver.execute_script(
            "const e = document.getElementById(arguments[0]); const b = e.getBoundingClientRect();"
            "const at = document.elementFromPoint(b.left + b.width / 2, b.top + b.height / 2);"
            "return [b.top, b.bottom, e === at || e.contains(at)];",
            name,
        )
        assert 0 <= top < bottom <= height
        assert hit
    assert page.find("#stage").rect["height"] > 0.4 * height


def _serious(page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    found = page.driver.execute_async_script(
        "const done = arguments[0];"
        "axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations));"
    )
    return [
        f"{rule['id']}: {node['html']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def test_axe_finds_nothing_serious(page, between, tmp_path):
    """axe-core finds nothing serious or critical at the start, in results, refusals, dialogs."""
    package = Path(importlib.util.find_spec("axe_core_python").origin).parent
    page.driver.execute_script((package / "axe.min.js").read_text(encoding="utf-8"))
    assert _serious(page) == []
    page.sample("wide.png").with_heat()
    for theme in ("Light", "Dark"):
        page.select("theme", theme)
        assert _serious(page) == []
    page.click("#help")
    assert _serious(page) == []
    page.keys(Keys.ESCAPE)
    page.size(768, 1024)
    assert _serious(page) == []
    text = tmp_path / "notes.txt"
    text.write_text("no radiograph")
    page.give(text)
    page.until(lambda: page.text("message-title") == "Not an image file")
    assert _serious(page) == []


def test_the_colours_are_the_services_own(page):
    """The page's colour map is the table that the service draws its own pictures with."""
    table = page.driver.execute_async_script(
        "const done = arguments[0]; import('/page/colours.js').then((m) => done(m.COLOURS));"
    )
    assert np.array_equal(np.array(table), COLOURS)


def test_the_map_is_spread_as_the_service_spreads_it(page):
    """Cells become a smooth map by the service's own filter, so both have the same peak."""
    cells = np.random.default_rng(3).random((7, 7)).astype(np.float32)
    spread = page.driver.execute_async_script(
        "const [cells, done] = arguments;"
        "import('/page/heat.js').then((m) => done([...m.spread(cells)]));",
        cells.tolist(),
    )
    assert np.abs(np.reshape(spread, (224, 224)) - at_input(cells)).max() < 1e-5


def test_nothing_is_asked_of_another_host(page, between):
    """A whole reading sends requests to the service's own host and to no other."""
    page.sample().with_heat()
    page.click("#help")
    assert page.hosts() == {between.host}
    page.open()
