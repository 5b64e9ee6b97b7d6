"""Checks of the examples: values in, issues or findings out.

`structure`, `messages`, `tools` and `object_keys` find errors: what a provider would refuse, or what would not train
what was intended. `style` finds warnings, from experience with chat data. `corpus` needs all examples together;
`provider_rule_checker` applies the rules of the providers.
"""
