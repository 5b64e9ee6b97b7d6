"""Drives the fake of Azure with the SDK: deploy, call, change, conflict, undeploy; prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_azure.py ADDRESS SUBSCRIPTION MODEL`.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import openai
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
from azure.mgmt.cognitiveservices.models import Deployment, DeploymentModel, DeploymentProperties, Sku

ADDRESS, SUBSCRIPTION, MODEL = sys.argv[1:]
PLACE = ("rg-acme", "res-acme")
NAME = "orch-0123456789abcdef-0"


class Credential:
    """A credential whose token does not expire."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self._token, 2**32)


def connect(token: str) -> CognitiveServicesManagementClient:
    """Return a client that sends its token over http to this machine, which the SDK refuses unless told so."""
    options: dict[str, Any] = {"base_url": ADDRESS, "credential_scopes": [f"{ADDRESS}/.default"], "retry_total": 0}
    return CognitiveServicesManagementClient(Credential(token), SUBSCRIPTION, polling_interval=0, **options)


def build_deployment(sku: str, capacity: int = 50, model: str = MODEL) -> Deployment:
    return Deployment(
        sku=Sku(name=sku, capacity=capacity),
        tags={"team": "tone"},
        properties=DeploymentProperties(model=DeploymentModel(format="OpenAI", name=model, version="1")),
    )


def find_error(call: Any) -> list[Any]:
    """Return status and code of the error that a call raises."""
    try:
        call()
    except HttpResponseError as error:
        return [error.status_code, error.error.code if error.error else None]
    return []


def call_model(name: str) -> str:
    client = openai.OpenAI(api_key="sandbox-acme", base_url=f"{ADDRESS}/openai/v1", max_retries=0)
    while True:
        try:
            answer = client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": "Hello"}], max_completion_tokens=1
            )
        except openai.NotFoundError as error:
            if error.code != "DeploymentNotFound" or name != NAME:
                return str(error.code)
            time.sleep(0.05)
        else:
            return str(answer.choices[0].message.content)


def main() -> None:
    deployments = connect("arm-acme").deployments
    allowed: dict[str, Any] = {"enforce_https": False}
    poller = deployments.begin_create_or_update(*PLACE, NAME, build_deployment("DeveloperTier"), **allowed)
    other = "second"
    conflict = find_error(
        lambda: deployments.begin_create_or_update(*PLACE, other, build_deployment("Standard"), **allowed)
    )
    made = poller.result()
    listed = [each.name for each in deployments.list(*PLACE, **allowed)]
    models = [
        [model.name, [sku.name for sku in model.skus]]
        for model in connect("arm-acme").accounts.list_models(*PLACE, **allowed)
    ]
    seen = {
        "state": made.properties.provisioning_state,
        "sku": [made.sku.name, made.sku.capacity],
        "model": made.properties.model.name,
        "tags": made.tags,
        "listed": listed,
        "models": models,
        "answer": call_model(NAME),
        "by_model_id": call_model(MODEL),
        "conflict": conflict,
        "quota": find_error(
            lambda: deployments.begin_create_or_update(*PLACE, other, build_deployment("Standard", 5000), **allowed)
        ),
        "unknown_model": find_error(
            lambda: deployments.begin_create_or_update(
                *PLACE, other, build_deployment("Standard", 1, "gpt-nobody"), **allowed
            )
        ),
        "api_key": find_error(lambda: connect("sandbox-acme").deployments.get(*PLACE, NAME, **allowed)),
    }
    changed = deployments.begin_create_or_update(*PLACE, NAME, build_deployment("Standard", 3), **allowed).result()
    seen["changed"] = [changed.name, changed.sku.name, changed.sku.capacity]
    deployments.begin_delete(*PLACE, NAME, **allowed).result()
    seen["missing"] = find_error(lambda: deployments.get(*PLACE, NAME, **allowed))
    deployments.begin_delete(*PLACE, NAME, **allowed).result()  # what is gone is no error
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
