"""What the tests of explanations share: a model's words, a map, an explanation of it."""

import numpy as np

from service.explain.cam.class_map import ClassMap
from service.explain.cam.request import MapRequest
from service.explain.explanation import explanation
from service.network.answer import ModelAnswer, image_answer
from service.network.gate import Judgement
from service.radiograph.preprocess import Geometry, preprocess
from service.radiograph.radiograph import Radiograph, Source

MODEL = ModelAnswer(
    name="demo",
    version="4330b11c375d",
    weights="demo",
    weights_sha256="3c" * 32,
    runtime="onnxruntime",
    precision="float32",
    demo=True,
)
REQUEST = MapRequest("Pneumonia", 0, "gradcam", "norm5")
POINTS = (0.4,)
WHOLE = Geometry(1841, 1955)


def hot_map(row=4, column=2, size=7):
    """A smooth map with one peak."""
    y, x = np.mgrid[:size, :size]
    return np.exp(-((x - column) ** 2 + (y - row) ** 2) / 3).astype(np.float32)


def explained(values=None, *, logit=0.5, geometry=WHOLE, request=REQUEST, **more):
    """An explanation of a map; `logit` is the explainer's own."""
    values = hot_map() if values is None else values
    found = ClassMap(request.method, request.layer, values, logit)
    return explanation(request, found, geometry, POINTS, **more)


def grey(width, height, level=128):
    """An even radiograph."""
    source = Source("PNG", 8, width, height, "full range of 8 bits")
    return Radiograph(np.full((height, width), level, np.uint8), 255.0, source)


USUAL = Judgement("usual", 1.0, (0.8, 1.4), (), ())
IMAGE = image_answer(grey(1841, 1955), preprocess(grey(1841, 1955)))
