"""Exports of a run whose gate is on: no format has a model that is neither alike nor accepted."""

from __future__ import annotations

import csv
import io
import json

import pytest
from export_values import job

from orchestrator.core.comparison.gate import ModelComparison
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.structs import replace
from orchestrator.exports import (
    ExportFormat,
    ModelSet,
    export,
    left_out_reason,
    list_table_rows,
    select_checkpoints,
    select_models,
)
from orchestrator.status import JobView

REASON = "refuses 12 % of the probes, the others 1 %"
LEFT_OUT = {
    "differs": f"is different from the other models: {REASON}",
    "unsure": f"is not certainly alike: {REASON}",
    "new": "has not been compared: `orchestrator compare`",
}


def compared(account: str, verdict: ComparisonVerdict | None = None, accepted_by: str | None = None) -> JobView:
    view = job(account)
    model = view.fine_tuned_model or ""
    known = ModelComparison(model=model, verdict=verdict, reasons=(REASON,), accepted_by=accepted_by)
    return replace(view, comparison=known if verdict else None)


JOBS = (
    compared("same", ComparisonVerdict.ALIKE),
    compared("differs", ComparisonVerdict.DIFFERENT),
    compared("unsure", ComparisonVerdict.NOT_SURE),
    compared("accepted", ComparisonVerdict.DIFFERENT, "operator:ada"),
    compared("new"),
)


def models(*, gated: bool) -> ModelSet:
    return select_models("tone", [replace(each, gated=gated) for each in JOBS], {})


@pytest.mark.parametrize("export_format", ExportFormat)
def test_no_format_has_a_model_that_does_not_pass(export_format: ExportFormat) -> None:
    text = export(export_format, models(gated=True), include_unservable=True).text
    for each in JOBS:
        assert (str(each.fine_tuned_model) in text) is (each.account not in LEFT_OUT), (each.account, text)


@pytest.mark.parametrize("export_format", ExportFormat)
def test_verdicts_change_nothing_while_the_gate_is_off(export_format: ExportFormat) -> None:
    untouched = select_models("tone", [replace(each, comparison=None) for each in JOBS], {})
    assert export(export_format, models(gated=False)) != export(export_format, models(gated=True))
    assert export(export_format, models(gated=False)).text == export(export_format, untouched).text


def test_accounts_that_are_left_out_are_listed_with_their_reasons() -> None:
    omitted = export(ExportFormat.ENV, models(gated=True)).models.omitted
    assert {each.account: left_out_reason(each) for each in omitted} == LEFT_OUT
    for export_format in (ExportFormat.ENV, ExportFormat.TOML, ExportFormat.LITELLM):
        text = export(export_format, models(gated=True)).text
        for account, reason in LEFT_OUT.items():
            assert f'# Left out: "{account}" at openai: {reason}.' in text


def test_lists_of_every_account_say_why_one_has_no_model() -> None:
    exported = export(ExportFormat.CSV, models(gated=True))
    rows = {row["account"]: row for row in csv.DictReader(io.StringIO(exported.text))}
    assert {name: row["left_out"] for name, row in rows.items() if row["left_out"]} == LEFT_OUT
    assert {name for name, row in rows.items() if not row["fine_tuned_model"]} == set(LEFT_OUT)
    assert {each.account: left_out_reason(each) for each in exported.models.omitted} == LEFT_OUT
    ids = json.loads(export(ExportFormat.JSON, models(gated=True)).text)
    assert {name for name, model in ids.items() if model is None} == set(LEFT_OUT)
    table = {row[0]: row for row in list_table_rows(export(ExportFormat.TABLE, models(gated=True)).models)}
    assert table["differs"][3:] == ("–", "–", f"no: {LEFT_OUT['differs']}")


def test_column_of_the_gate_is_there_only_while_it_is_on() -> None:
    alike = select_models("tone", [replace(JOBS[0], gated=True)], {})
    assert export(ExportFormat.CSV, alike).text.splitlines()[0].endswith(",left_out")
    assert "left_out" not in export(ExportFormat.CSV, models(gated=False)).text


def test_checkpoint_does_not_pass_with_the_verdict_of_the_final_model() -> None:
    kept = (Checkpoint(number=1, id="c1", step=10, model="ft:kept", training_loss=0.9, validation_loss=0.5),)
    gated = select_models("tone", [replace(JOBS[0], gated=True, checkpoints=kept)], {})
    exported = export(ExportFormat.ENV, select_checkpoints(gated, "1"))
    assert "ft:kept" not in exported.text
    assert "checkpoints" in left_out_reason(exported.models.omitted[0])
