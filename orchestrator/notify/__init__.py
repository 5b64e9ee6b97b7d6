"""Sends notifications to webhooks and, through apprise, to messengers and mail.

A sender makes one attempt and does not wait, retry or store anything: that is the work of daemon/delivery_worker.py.
It returns the reason of a failure as a text without keys.
"""
