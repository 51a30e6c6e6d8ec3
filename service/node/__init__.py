"""A DICOM node: images from a PACS or modality, results back into their study."""
