"""Results as FHIR resources; needs fhir.resources."""
