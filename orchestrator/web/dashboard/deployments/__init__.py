"""The pages and dialogs of deployments."""
