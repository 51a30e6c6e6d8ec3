"""The figure that `/gradcam` and `cxr gradcam` draw: overlay and caption."""

from __future__ import annotations

from PIL import Image

from service.explain.cam.class_map import LAST_LAYER
from service.explain.drawing.caption import Caption, caption_panel
from service.explain.drawing.heat_map import OPACITY, overlay
from service.explain.explanation import Explanation
from service.network.answer import DEMO_WARNING, ModelAnswer
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
) -> Image.Image:
    """Draw an explanation over its radiograph, with a caption.

    Where there is no map, the radiograph is drawn bare and the reason is written.

    Args:
        radiograph: The image that was explained.
        explanation: Of it.
        model: What scored it.
        opacity: In [0, 1], share of the colour where the map is hottest.
        captions: Whether to write beneath; without, the picture has the radiograph's own size.

    Returns:
        Mode "RGB"; the radiograph's pixels lie at the top left, one for one.
    """
    rows, columns = radiograph.pixels.shape
    if not captions:
        return overlay(radiograph, explanation.values, explanation.geometry, opacity)
    panel = caption_panel(columns, caption(explanation, model), opacity)
    drawn = overlay(
        radiograph, explanation.values, explanation.geometry, opacity, below=panel.height
    )
    drawn.paste(panel, (0, rows))
    return drawn


def caption(explanation: Explanation, model: ModelAnswer) -> Caption:
    """Build the caption of a figure."""
    served, request = explanation.served, explanation.request
    layer = "the last layer" if request.layer == LAST_LAYER else request.layer
    lines = [f"{NAMES[request.method]} at {layer}"]
    if explanation.words:
        lines.append(f"Most evidence: {explanation.words}")
    lines.append(f"Model {model.name} {model.version}, {model.runtime} {model.precision}")
    notices = [f"No map. {explanation.reason}"] if explanation.reason else []
    notices += [explanation.geometry.describe_unseen or ""] + [DEMO_WARNING] * model.demo
    target = request.target.replace("_", " ")
    return Caption(
        headline=f"{target}: score {served.score:.2f} (operating point 0.5)",
        lines=tuple(lines),
        notices=tuple(notice for notice in notices if notice),
        legend=explanation.values is not None,
    )
