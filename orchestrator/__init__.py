"""One dataset, many accounts, one fine-tuned model in each.

```
cli/          door: commands; parse, call, print
web/          door: status API and dashboard
app/          wiring: builds everything once from the settings; owns the clock; knows every concrete class
daemon/       the loop: scheduler (when), desired (what is wanted), reconciler (load, act, record), service
exports/      the model ids in the forms other programs read
metrics/      what Prometheus scrapes
dispatch/     who is due: the port and its adapters
control/      what an operator may ask: start, approve, cancel, retry, hold, release
status/       what anyone may see: one read model for every surface
dataset/      chats → findings → canonical JSONL; tokens and prices
sources/      the accounts file and the keys its references lead to
providers/    the protocol, and one file for each provider's dialect
store/        the tables, the writer, and every query
alerts/       what goes out to those who asked to be told: signed webhooks, messages to people
sandbox/      a provider on loopback, an independent judge of our traffic
settings/     the environment, checked
log.py        one line an event, without keys
core/         words and rules: values in, values out
```

Imports point down this list; rooms beside each other do not know each other. Data goes down once (accounts file and
chats to a plan to jobs), round once (a due job to the reconciler and back to the store), out once (store to status
to every surface).
"""
