"""The JSON API under `/api/v1`, the metrics page and the receiver of provider webhooks."""

API_PREFIX = "/api/v1"
