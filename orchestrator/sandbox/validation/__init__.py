"""The validation of requests and training files, as strict as the provider's."""
