"""Providers: one file per dialect, none knows another. They speak to the network and nothing else.

No store, no waiting, no retries, no decisions. Every failure leaves as a `ProviderError`, every answer as a value of
`core.remote`.
"""
