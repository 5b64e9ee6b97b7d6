"""Writes docs/reference/log-events.md: `python docs/generate_log_events.py`. A test fails when page and code differ.

Events and levels are read from the calls in `orchestrator/`; the meanings are the table below.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

TARGET = Path(__file__).with_name("reference") / "log-events.md"
PACKAGE = Path(__file__).parents[1] / "orchestrator"

LOGGER: Final = re.compile(r"(\w+\.)*_?log|structlog\.get_logger\(.*\)")
EVENT: Final = re.compile(r"[a-z_]+\.[a-z_]+")
LEVELS: Final = {
    "debug": ["debug"],
    "info": ["info"],
    "warning": ["warning"],
    "error": ["error"],
    "exception": ["error"],  # with a traceback
    "log": ["info", "warning"],  # `log.log(level, event)`: a warning where the fields name a failure
}

MEANINGS: Final = {
    "account.held": "An account is on hold: no request is sent for it until the cause in `message` is removed or the "
    "account is released.",
    "account.verified": "The provider accepted the account's key; `organization` is the owner that it reported.",
    "accounts_file.changed": "The accounts file, or a file that it names, has changed; the service reads it again.",
    "accounts_file.refused": "The accounts file or the dataset cannot be used; the previous version stays in force.",
    "accounts_file.warned": "The accounts file is valid, but contains something that is probably not intended.",
    "base_model.lookup_failed": "The provider gave no information about the base model. The run continues without "
    "this check.",
    "base_model.retiring": "The provider will stop training or serving a base model; `message` gives the dates.",
    "base_model.unknown": "The provider does not list the base model of the accounts file.",
    "clock.changed": "The clock of this machine was set: it differs by more than a time service corrects gradually.",
    "connections.refused": "HTTP connections were closed because of a limit; the fields count them by limit.",
    "database.migrated": "The tables were upgraded to `revision`.",
    "database.recovered": "The database accepts changes again.",
    "database.unreachable": "The database does not accept changes. Logged once per outage.",
    "comparison.failed": "A comparison failed by a defect of the program; it is continued, three times at most.",
    "comparison.finished": "The models of a run were compared; `message` is the verdict.",
    "comparison.not_started": "A scheduled comparison was not started; `message` states the reason. The next one is "
    "started at its time.",
    "comparison.stopped": "A comparison was stopped before its end; `message` states the reason.",
    "dataset.changed": "The chats have changed; the dataset is built again.",
    "dataset.converted": "The dataset was converted to the `format` that a provider reads; `sha256` and `bytes` are "
    "those of the file that is sent.",
    "deliveries.pending_at_shutdown": "Some notifications could not be sent before the process ended; they are sent "
    "after the next start.",
    "delivery.gave_up": "All attempts to deliver a notification failed. It is sent again only by a manual retry.",
    "delivery.internal_error": "A bug of orchestrator stopped the deliveries to one target; the deliveries "
    "are retried.",
    "delivery.retry_scheduled": "An attempt to deliver a notification failed; another one follows.",
    "delivery.succeeded": "The target accepted a notification.",
    "deployment.adopted": "A deployment of this program was found at the provider and has no record here, for "
    "example after a lost database. It is stopped at `expires_at`.",
    "deployment.internal_error": "A bug of orchestrator interrupted a deployment; the deployment is tried again. "
    "Please report it.",
    "deployment.leftover": "The provider has a deployment of an earlier request. The service does not use it, and it "
    "may be billed.",
    "deployment.reappeared": "A deployment that had ended was found at the provider; it is removed.",
    "deployment.state_changed": "A deployment entered another state: `before` → `after`. The level is `warning` if "
    "an error caused it.",
    "deployment.updated": "A deployment was changed and stayed in its state, for example by a failed attempt or a "
    "hold.",
    "deployment.version_conflict": "A step was discarded because the deployment was changed by another process "
    "meanwhile.",
    "deployment_options.lookup_failed": "The provider did not report how models of the base model can be deployed. "
    "The run continues without this check.",
    "deployments.list_failed": "The provider did not list the deployments of the account; the list is tried again.",
    "dispatch.failed": "A bug of orchestrator interrupted the search for due jobs; the search is repeated.",
    "events.purged": "Events older than `ORCHESTRATOR_EVENTS_KEEP_DAYS` were deleted; `lines` is their number.",
    "job.internal_error": "A bug of orchestrator interrupted a job; the job is tried again. Please report it.",
    "job.state_changed": "A job entered another state: `before` → `after`. The level is `warning` if an error "
    "caused it.",
    "job.updated": "A job was changed and stayed in its state, for example by a failed attempt or a hold.",
    "job.version_conflict": "A step was discarded because the job was changed by another process meanwhile.",
    "job.warned": "A job got a warning: it has not changed for hours, or its provider reports an unknown status.",
    "key.found": "A missing key is available now; its accounts are released.",
    "key.renewed": "The reference of an account's key leads to a new key, and the provider accepts it.",
    "log.lines_dropped": "Log lines were dropped because nobody read the service's stderr.",
    "checkpoints.fetch_failed": "The provider did not return a finished job's checkpoints. Its model is recorded.",
    "checkpoints.internal_error": "A bug of orchestrator prevented reading a job's checkpoints.",
    "losses.fetch_failed": "The provider did not return a job's training losses. The job itself is not affected.",
    "losses.internal_error": "A bug of orchestrator prevented reading a job's losses. The job is not affected.",
    "model.lookup_failed": "The daily check of a fine-tuned model got no answer; it is repeated.",
    "model.ready": "An account has its fine-tuned model; `fine_tuned_model` is its id.",
    "model.retiring": "A fine-tuned model will be shut down, or does not exist any more.",
    "moderation.failed": "An account could not moderate the chats; the next account is used.",
    "moderation.finished": "All texts were judged; `sent` of `texts` had no stored verdict.",
    "moderation.flagged": "The moderation flagged texts; the run is held.",
    "moderation.internal_error": "A bug of orchestrator interrupted the moderation; the moderation is retried.",
    "moderation.progressed": "`done` of `total` texts are judged. At most once a minute.",
    "moderation.request_retried": "One request of the moderation failed and is repeated after `pause_seconds`.",
    "moderation.retry_scheduled": "No account could finish the moderation; it is tried again at `next_attempt`.",
    "plan.applied": "A run of the accounts file, with its dataset, is in force.",
    "quote.failed": "The provider did not return a price for a job. The price of the price file is used, if "
    "there is one.",
    "refusal.store_failed": "The refusal of an edit could not be stored for `orchestrator status`; the next "
    "heartbeat repeats it.",
    "retirements.load_failed": "The file of retirement dates cannot be read; its dates are not used.",
    "run.held": "The run is on hold; `message` has the reason and `hint` the next step. While the chats are being "
    "moderated, the level is `info`.",
    "run.refused": "The run `name` of the accounts file cannot be applied; its previous version stays in force. "
    "Other runs are not affected.",
    "service.ready": "The service has started and answers at `url`.",
    "service.shutdown_timeout": "Requests in flight were cancelled at shutdown. Their outcome is looked up at the "
    "next start.",
    "service.stopped": "The service has stopped.",
    "service.stopping": "The service received the request to stop, and finishes the requests in flight.",
    "settings.refused": "The settings file cannot be used; the previous settings stay in force.",
    "settings.reloaded": "The settings file was read again; `log_level` is the level in force.",
    "settings.restart_required": "Settings were changed that take effect only after a restart.",
    "tick.failed": "A bug of orchestrator interrupted a periodic task; the task runs again at its next time.",
    "tick.skipped": "A periodic task was not started because its previous run has not finished.",
    "wake_up.failed": "A bug of orchestrator interrupted the handling of a wake-up; the wake-up is handled again.",
    "webhook.job_woken": "A provider's webhook made a job due at once.",
    "webhook.refused": "Webhooks were rejected because of a wrong signature or an unknown account.",
}

TEXT = """\
# Log events

Generated by `python docs/generate_log_events.py` from the code; a change here would be lost.

Every line begins with its time (UTC), its level and its event:

```json
{{"timestamp": "2026-03-01T12:00:00.000000Z", "level": "info", "event": "model.ready", "account": "acme", …}}
```

Use the names in log filters and alert rules. A line about an error has the fields `kind`, `message` and `hint`;
[errors](errors.md) lists the kinds of errors and holds. A line that comes from a library has the library's name as
`logger` and a sentence as `event`; only warnings of libraries are logged, unless `ORCHESTRATOR_LOG_LEVEL=debug` is
set.

To be notified of results, use [webhooks and alerts](../how-to/webhooks.md): they are delivered at least once, while a
log line may be lost.

| event | level | meaning |
|---|---|---|
{rows}
"""


@cache  # the package is parsed, which takes 0.6 s
def find_events(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Return the levels at which each event is logged in the package.

    Raises ValueError for a log call whose event is not a constant of the form `noun.past_participle`.
    """
    events: defaultdict[str, set[str]] = defaultdict(set)
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_log_call(node.func):
                names = _names(node, position=1 if node.func.attr == "log" else 0)
                if not all(EVENT.fullmatch(name) for name in names):
                    raise ValueError(f'{path}:{node.lineno}: log the event by its name, such as "job.updated"')
                for name in names:
                    events[name].update(LEVELS[node.func.attr])
    return dict(events)


def _is_log_call(function: ast.Attribute) -> bool:
    """Whether this is a call such as `log.info`, `self._log.warning` or `structlog.get_logger(…).error`."""
    return function.attr in LEVELS and LOGGER.fullmatch(ast.unparse(function.value)) is not None


def _names(call: ast.Call, position: int) -> list[str]:
    event = call.args[position]
    choices = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
    return [str(choice.value) if isinstance(choice, ast.Constant) else "" for choice in choices]


def page() -> str:
    """Return the page. Raises KeyError for an event without a meaning."""
    rows = [
        f"| `{name}` | {' or '.join(sorted(levels))} | {MEANINGS[name]} |"
        for name, levels in sorted(find_events().items())
    ]
    return TEXT.format(rows="\n".join(rows))


if __name__ == "__main__":
    TARGET.write_text(page())
