"""One dataset, many accounts, one fine-tuned model in each.

```
cli/          the command line: parses arguments, calls the app, prints results
app/          creates every part once from the settings and connects the parts; owns the clock
web/          the web server: status document, JSON API, dashboard, metrics page, provider webhooks
daemon/       the running service: scheduler, reconciler, delivery worker, heartbeat, maintenance
planning/     what happens before a run exists: desired state, facts from the providers, moderation
exports/      the model ids in formats that other programs read
metrics/      counters, histograms and gauges for Prometheus
dispatch/     which jobs are due: one port, one adapter for SQLite and one for PostgreSQL
control/      operator actions and plans, each as one change of the database
status/       the read model for the command line, the API, the dashboard and the exports
dataset/      from chats to findings and canonical JSONL
inputs/       the accounts file, the keys it refers to, prices and retirement dates
providers/    the provider protocol, one folder for each dialect, and the HTTP client below them
notify/       the senders of webhooks and alerts
store/        the database: connections and transactions, tables, queries
sandbox/      a simulated provider on a loopback address, which does not know the program
settings/     the settings of one process, from environment and files
log.py        one line for each event, without keys
aio.py        batching and single-flight for asyncio
system/       calls to the operating system
core/         the domain model: values and pure functions
```

Imports point down this list, and packages of one layer do not import each other; pyproject.toml has the layers. The
accounts file and the chats become a plan, the plan becomes jobs in the store, the reconciler moves each due job one
step and records the outcome, and every surface reads the result through `status`.
"""
