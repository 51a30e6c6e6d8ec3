"""Media types of the answers that the service gives."""

DICOM = "application/dicom"
JSON = "application/json"
PNG = "image/png"
