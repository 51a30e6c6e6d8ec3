"""The figure that `/gradcam` and `cxr gradcam` draw: overlay and caption."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from service.explain.answer import all_warnings
from service.explain.cam.class_map import LAST_LAYER
from service.explain.drawing.caption import Caption, caption_panel
from service.explain.drawing.heat_map import OPACITY, overlay
from service.explain.explanation import Explanation
from service.network.answer import ModelAnswer
from service.radiograph.radiograph import Radiograph

NAMES = {
    "gradcam": "Grad-CAM",
    "gradcam++": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "layercam": "Layer-CAM",
    "cam": "Class activation map",
}
"""The methods as their papers write them."""


def draw(
    radiograph: Radiograph,
    explanation: Explanation,
    model: ModelAnswer,
    opacity: float = OPACITY,
    captions: bool = True,
    warnings: Sequence[str] = (),
) -> Image.Image:
    """Draw an explanation over its radiograph, with a caption.

    Where there is no map, the radiograph is drawn bare and the reason is written.

    Args:
        radiograph: The image that was explained.
        explanation: Of it.
        model: What scored it.
        opacity: In [0, 1], share of the colour where the map is hottest.
        captions: Whether to write beneath; without, the picture has the radiograph's own size.
        warnings: Of the image, as a prediction has them; they are written with the others.

    Returns:
        Mode "RGB"; the radiograph's pixels lie at the top left, one for one.
    """
    rows, columns = radiograph.pixels.shape
    if not captions:
        return overlay(radiograph, explanation.values, explanation.geometry, opacity)
    panel = caption_panel(columns, caption(explanation, model, warnings), opacity)
    drawn = overlay(
        radiograph, explanation.values, explanation.geometry, opacity, below=panel.height
    )
    drawn.paste(panel, (0, rows))
    return drawn


def caption(explanation: Explanation, model: ModelAnswer, warnings: Sequence[str] = ()) -> Caption:
    """Build the caption of a figure."""
    request = explanation.request
    layer = "the last layer" if request.layer == LAST_LAYER else request.layer
    lines = [f"{NAMES[request.method]} at {layer}"]
    if explanation.site_words:
        lines.insert(0, explanation.site_words)
    if explanation.words:
        lines.append(f"Most evidence: {explanation.words}")
    lines.append(f"Model {model.name} {model.version}, {model.runtime} {model.precision}")
    notices = [f"No map. {explanation.reason}"] if explanation.reason else []
    return Caption(
        headline=explanation.sentence,
        lines=tuple(lines),
        notices=(*notices, *all_warnings(explanation, model, warnings)),
        legend=explanation.values is not None,
    )
