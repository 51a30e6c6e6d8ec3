"""Media types of the answers that the service gives."""

DICOM = "application/dicom"
JPEG = "image/jpeg"
JSON = "application/json"
PNG = "image/png"
