"""The clients of the training providers: one folder for each dialect, none imports another.

They access the network and nothing else: no store, no waiting, no retries, no decisions. Every failure leaves as a
`ProviderError`, every response as a value of `core.remote`. docs/how-to/add-a-provider.md explains how to add one.
"""
