"""Write docs/states.md from the tables of orchestrator/core: those of jobs and of deployments."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.deployment.lifecycle import (
    DEPLOYMENT_STATE_DESCRIPTIONS,
    DEPLOYMENT_TRANSITIONS,
    MAY_EXIST_STATES,
    TERMINAL_DEPLOYMENT_STATES,
    DeploymentState,
)
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

## States of a deployment

A deployment makes a model callable. Generated from `orchestrator/core/deployment/lifecycle.py`. In the
states {billed} something of it may exist at the provider, and be billed; it then has a time at
which the service stops it.
[Deploy models](how-to/deploy-models.md) describes how deployments are requested and stopped.

| state | means | ended by |
|---|---|---|
{deployment_rows}

```mermaid
stateDiagram-v2
{deployment_edges}
```
"""


def page() -> str:
    """The whole page."""
    return TEMPLATE.format(
        rows="\n".join(map(_row, JobState)),
        edges="\n".join(_edges()),
        waits="\n".join(map(_wait, JobState)),
        billed=", ".join(state for state in DeploymentState if state in MAY_EXIST_STATES),
        deployment_rows="\n".join(map(_deployment_row, DeploymentState)),
        deployment_edges="\n".join(_deployment_edges()),
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


def _deployment_row(state: DeploymentState) -> str:
    ways = " · ".join(f"{event} → {after}" for event, after in DEPLOYMENT_TRANSITIONS[state].items())
    return f"| {state} | {DEPLOYMENT_STATE_DESCRIPTIONS[state]} | {ways or '–'} |"


def _deployment_edges() -> list[str]:
    rows = DEPLOYMENT_TRANSITIONS.items()
    within = [(state, after, event) for state, row in rows for event, after in row.items()]
    return [
        f"    [*] --> {DeploymentState.WANTED}",
        *(f"    {state} --> {after}: {event}" for state, after, event in within),
        *(f"    {state} --> [*]" for state in DeploymentState if state in TERMINAL_DEPLOYMENT_STATES),
    ]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
