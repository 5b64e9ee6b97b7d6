"""Write docs/states.md from the table in orchestrator/core/jobs/lifecycle.py."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.jobs.lifecycle import STATE_DESCRIPTIONS, TERMINAL_STATES, TRANSITIONS, JobState
from orchestrator.core.jobs.stall import WAIT_DESCRIPTIONS

PAGE = Path(__file__).with_name("states.md")
TEMPLATE = """\
# States

The states of a job and the events that end them. Generated from `orchestrator/core/jobs/lifecycle.py` and
`core/jobs/stall.py` by `python docs/generate_states.py`; change the tables there, not this page.

| state | means | ended by |
|---|---|---|
{rows}

```mermaid
stateDiagram-v2
{edges}
```

## What ends the wait

No job waits for ever without a warning. The table shows what ends each wait, and the time after which a warning is
reported if nothing does: an event of the history, a notification (`job.warning`), and a mark on the dashboard, in
`orchestrator status` and in `/status`. Each warning is reported once, and again only after the job has
changed.

| state | what ends the wait | warning after |
|---|---|---|
{waits}

Waiting is not a state: it is the job's `wake_at` and `attempts`. An event that a state does not list is illegal: it
raises an error and changes nothing. The [glossary](glossary.md) defines the terms.
"""


def page() -> str:
    """The whole page."""
    return TEMPLATE.format(
        rows="\n".join(map(_row, JobState)), edges="\n".join(_edges()), waits="\n".join(map(_wait, JobState))
    )


def _row(state: JobState) -> str:
    ways = " · ".join(f"{event} → {after}" for event, after in TRANSITIONS[state].items())
    return f"| {state} | {STATE_DESCRIPTIONS[state]} | {ways or '–'} |"


def _wait(state: JobState) -> str:
    return f"| {state} | {WAIT_DESCRIPTIONS[state].ended_by} | {WAIT_DESCRIPTIONS[state].reported_after} |"


def _edges() -> list[str]:
    within = [(state, after, event) for state, row in TRANSITIONS.items() for event, after in row.items()]
    return [
        f"    [*] --> {JobState.PLANNED}",
        *(f"    {state} --> {after}: {event}" for state, after, event in within),
        *(f"    {state} --> [*]" for state in JobState if state in TERMINAL_STATES),
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
