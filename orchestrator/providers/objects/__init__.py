"""Uploads to buckets: Google Cloud Storage and Amazon S3, for providers that read training files from there."""
