"""Response models of the API, from which the OpenAPI document is generated."""
