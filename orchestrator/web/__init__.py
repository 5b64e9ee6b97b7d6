"""The web server: status document, JSON API, dashboard, metrics and the receiver of provider webhooks.

It reads through `status`, the same read model as the command line's, and changes through `control`. `auth`
authenticates clients and stands in front of every route. The dashboard is plain HTML that works without scripts; the
scripts that enhance it are committed in `static/`, and nothing is loaded from another host.
"""
