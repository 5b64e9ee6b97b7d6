"""A checkpoint in place of the final models: the same one in each account, or none."""

from __future__ import annotations

import csv
import io
import json

from export_values import job

from orchestrator.core.account import ProviderName
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.structs import replace
from orchestrator.exports import (
    ExportFormat,
    ModelSet,
    export,
    left_out_reason,
    list_checkpoint_rows,
    select_checkpoints,
    select_models,
)
from orchestrator.status.serving import ServingView

KEPT = (
    Checkpoint(number=1, id="c1", step=10, model="ft:m:1", training_loss=0.9, validation_loss=0.5),
    Checkpoint(number=2, id="c2", step=20, model="ft:m:2", training_loss=0.4, validation_loss=0.6, epoch=2),
)


def build_models() -> ModelSet:
    kept = replace(job("kept", ProviderName.OPENAI), checkpoints=KEPT)
    return select_models("tone", [kept, job("none", ProviderName.OPENAI), job("late", model=None)], {})


def export_ids(choice: str) -> dict[str, str | None]:
    ids: dict[str, str | None] = json.loads(
        export(ExportFormat.JSON, select_checkpoints(build_models(), choice)).text
    )
    return ids


def test_final_models_are_exported_unless_a_checkpoint_is_chosen() -> None:
    assert set(json.loads(export(ExportFormat.JSON, build_models()).text).values()) > {None}
    assert "ft:m:1" not in export(ExportFormat.JSON, build_models()).text


def test_chosen_checkpoint_replaces_the_final_model_and_nothing_else_does() -> None:
    assert export_ids("2") == {"kept": "ft:m:2", "none": None, "late": None}
    assert export_ids("best") == {"kept": "ft:m:1", "none": None, "late": None}
    assert export_ids("3") == {"kept": None, "none": None, "late": None}


def test_account_without_the_checkpoint_is_left_out_with_the_reason() -> None:
    exported = export(ExportFormat.ENV, select_checkpoints(build_models(), "3"))
    assert exported.models.jobs == ()
    reasons = {each.account: left_out_reason(each) for each in exported.models.left_out}
    assert reasons == {
        "kept": "has no checkpoint 3; its checkpoints: 1 to 2",
        "none": "has no checkpoint 3; no checkpoint of it is known",
        "late": "has no model yet",
    }
    (row, *_) = csv.DictReader(io.StringIO(export(ExportFormat.CSV, select_checkpoints(build_models(), "2")).text))
    assert (row["account"], row["fine_tuned_model"], row["servable"]) == ("kept", "ft:m:2", "true")


def test_deployment_of_the_final_model_is_not_called_in_place_of_the_checkpoint() -> None:
    serving = ServingView(
        callable=True, state="ready", model="dep-final", base_url="https://h/v1", expires_at=1.0, deployment="d1"
    )
    deployed = replace(job("acme", ProviderName.AZURE), checkpoints=KEPT, serving=serving)
    models = select_models("tone", [deployed], {})
    assert "dep-final" in export(ExportFormat.ENV, models).text
    chosen = export(ExportFormat.ENV, select_checkpoints(models, "best"))
    assert "dep-final" not in chosen.text
    assert "orchestrator deploy acme --checkpoint best" in left_out_reason(chosen.models.left_out[0])


def test_checkpoints_are_listed_with_their_losses_and_the_best_marked() -> None:
    assert list_checkpoint_rows(build_models()) == [
        ("kept", "1 *", "–", "10", "0.9000", "0.5000", "ft:m:1"),
        ("kept", "2", "2", "20", "0.4000", "0.6000", "ft:m:2"),
    ]
