"""The HTML pages of the dashboard. Each page has a module with its view, a value from which the template is rendered.

A view contains only what is displayed: the entity tag is computed from it, so a poll of an unchanged page gets 304.
"""
