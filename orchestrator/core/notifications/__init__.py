"""Notifications to webhooks and alerts, and their delivery."""
