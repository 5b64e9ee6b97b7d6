"""The part of the service that creates, follows and removes deployments."""
