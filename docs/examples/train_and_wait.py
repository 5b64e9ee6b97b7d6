"""Starts the run of a service, waits until its jobs have ended, and prints the model id of each account as JSON.

    ORCHESTRATOR_URL=http://127.0.0.1:8080 ORCHESTRATOR_TOKEN=orch_… python train_and_wait.py

Exits 1 if an account has no model or the run is on hold. How to install the client:
docs/how-to/use-the-api-from-python.md.
"""

import json
import os
import sys
import time

from orchestrator_client import AuthenticatedClient
from orchestrator_client.api.actions import start
from orchestrator_client.api.status import get_status
from orchestrator_client.models import Problem, StatusDocument

POLL_SECONDS = 5.0


def wait_for_jobs(client: AuthenticatedClient) -> StatusDocument:
    """Return the status as soon as no job changes without an operator's action."""
    while True:
        status = get_status.sync(client=client)
        if not isinstance(status, StatusDocument):
            sys.exit(f"The service returned no status: {status}")
        if status.run and status.run.holds:
            sys.exit(f"The run is on hold: {status.run.holds[0].message} {status.run.holds[0].hint}")
        if status.settled:
            return status
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Start, wait, print."""
    with AuthenticatedClient(os.environ["ORCHESTRATOR_URL"], token=os.environ["ORCHESTRATOR_TOKEN"]) as client:
        answer = start.sync(client=client)
        if isinstance(answer, Problem):  # an error is a value: what is wrong, and what to do next
            sys.exit(f"{answer.detail} {answer.hint}")
        jobs = wait_for_jobs(client).jobs
    json.dump({job.account: job.fine_tuned_model for job in jobs}, sys.stdout, indent=2)
    sys.exit(0 if all(job.fine_tuned_model for job in jobs) else 1)


if __name__ == "__main__":
    main()
