"""Why a score is what it is: heat maps, their figures and their DICOM objects."""
