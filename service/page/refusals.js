// What went wrong, in words for a reader of radiographs, and whether asking again can help.

const BY_CODE = {
  connection_lost: ["The connection to the service was lost", "Check the network, then try again.", true],
  unreadable_file: ["The file cannot be opened", "It was moved, or it is a folder. Choose it again.", false],
  cancelled: ["Cancelled", "Nothing was scored.", true],
  cannot_show: ["The picture cannot be shown", "The file was scored; it cannot be drawn here.", true],
  truncated_image: ["The file is damaged or not complete", "Export or download it again.", false],
  not_an_image: ["Not an image file", "", false],
  not_frontal: ["This is not a frontal view", "Only PA and AP views are scored.", false],
  no_contrast: ["This image shows nothing", "It is flat, or nearly black or white.", false],
  not_a_chest_radiograph: ["Not scored: unlike a frontal chest radiograph", "", false],
  not_a_radiograph: ["This is not a chest radiograph", "Only frontal chest radiographs are scored.", false],
  modality: ["This is not a radiograph", "Other modalities are not scored.", false],
  several_frames: ["The file holds several images", "Send one frame at a time.", false],
  no_pixel_data: ["The file holds no image", "It may be a report or a presentation state.", false],
  pixel_format: ["Pixels of this kind are not read", "Export the radiograph in greys.", false],
  transfer_syntax: ["This compression is not read", "Export it uncompressed or as JPEG 2000.", false],
  too_small: ["The image is too small", "Send the radiograph in its full size.", false],
  decode_time: ["Reading the file took too long", "Send it in a simpler format or smaller.", false],
  unknown_target: ["This finding is not predicted here", "Choose another.", false],
  not_offered: ["This heat map is not offered", "Choose another method or layer.", false],
  unknown_method: ["This heat map is not offered", "Choose another method.", false],
  unknown_layer: ["This heat map is not offered", "Choose another layer.", false],
  explainer_unavailable: ["This heat map cannot be made now", "The class activation map works without the part that is down.", true],
};

const BY_STATUS = {
  400: ["The request was not understood", "Choose the file again.", true],
  401: ["The service asks for a key", "Enter the key that you were given.", false],
  408: ["Sending the file took too long", "Try again on a faster connection.", true],
  413: ["The file is too large", "Export it smaller or compressed.", false],
  415: ["This kind of file is not read", "Send a radiograph as DICOM, PNG or JPEG.", false],
  422: ["This image is not scored", "Only frontal chest radiographs are.", false],
  429: ["The service is busy", "It was asked several times. Try again later.", true],
  500: ["The service failed on this image", "If it fails again, tell whoever runs it.", true],
  503: ["The service is not ready", "It is starting or being serviced. Try again soon.", true],
  504: ["The service took too long", "Try again; it may be busy.", true],
};

/**
 * Say what happened.
 * @param {Refusal} refusal
 * @returns {{title: string, text: string, code: string, again: boolean, key: boolean}} `again`:
 *   the same request may succeed later; `key`: a key is missing or not known.
 */
export function inWords(refusal) {
  const unknown = ["No answer could be had", "Try again.", true];
  const [title, advice, again] = BY_CODE[refusal.code] ?? BY_STATUS[refusal.status] ?? unknown;
  const text = [refusal.message, advice].filter(Boolean).join(" ");
  const code = refusal.status ? `${refusal.code} (${refusal.status})` : refusal.code;
  return { title, text, code, again, key: refusal.status === 401 };
}
