"""Checks: what is wrong with an example, or not as good as it could be. Values in, issues out.

`errors` are what a provider would refuse, or what would train something else than was meant; `advice` is experience
with chat data. Both look at one example; `whole` sees all of them pass by.
"""
