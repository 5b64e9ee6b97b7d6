"""The HTTP client that all providers share, and what every dialect does with responses and failures."""
