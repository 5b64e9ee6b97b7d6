"""Events, metrics and checkpoints of sandbox jobs."""

from __future__ import annotations

from typing import Any

from sandbox_jobs import job

from orchestrator.sandbox.simulation.job_progress import (
    MAX_METRICS_EVENTS,
    build_checkpoints,
    build_events,
    build_metrics,
    count_steps,
    list_checkpoint_models,
    list_reported_steps,
)
from orchestrator.sandbox.simulation.job_timeline import build_timelines


def list_events(now: float, **changes: Any) -> list[str]:
    chosen = job(**changes)
    return [event["message"] for event in build_events(chosen, build_timelines([chosen], 1)[chosen.id], now)]


def test_events_are_listed_newest_first_up_to_now() -> None:
    assert list_events(110) == [
        "Files validated, moving job to queued state",
        "Validating training file: file-1",
        "Created fine-tuning job: ftjob-1",
    ]
    assert list_events(115)[0] == "Fine-tuning job started"
    assert list_events(214) == list_events(500)[-len(list_events(214)) :]
    assert list_events(500)[:2] == [
        "The job has successfully completed",
        "New fine-tuned model created: ft:sandbox-small:acme:tone:abcd1234",
    ]


def test_every_outcome_has_an_event() -> None:
    assert list_events(500, cancelled_at=150.0)[0] == "The job has been cancelled"
    assert list_events(500, problem={"message": "Line 3: wrong"})[0] == "Line 3: wrong"
    assert "queued state" not in " ".join(list_events(500, problem={"message": "Line 3: wrong"}))
    pauses: list[list[float | None]] = [[120.0, 130.0]]
    assert {"Fine-tuning job paused", "Fine-tuning job resumed"} <= set(list_events(500, pauses=pauses))


def test_loss_falls_and_is_equal_for_equal_training() -> None:
    steps = list_reported_steps(job())
    assert steps == list(range(1, 17))
    losses = [build_metrics(job(), step)["train_loss"] for step in steps]
    assert losses[0] > losses[8] > losses[-1] > 0
    assert losses == [build_metrics(job(id="ftjob-2", account="other"), step)["train_loss"] for step in steps]
    assert losses != [build_metrics(job(seed=2), step)["train_loss"] for step in steps]
    assert "valid_loss" in build_metrics(job(validation_file="file-3"), 1)


def test_long_job_reports_selected_steps_only() -> None:
    long = job(examples=100_000, resolved={"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 1})
    steps = list_reported_steps(long)
    assert len(steps) == MAX_METRICS_EVENTS + 1
    assert (steps[0], steps[-1]) == (1, count_steps(long))


def test_last_three_epochs_have_a_checkpoint_each() -> None:
    timeline = build_timelines([job()], 1)["ftjob-1"]
    saved = build_checkpoints(job(), timeline, 500)
    assert [checkpoint["step_number"] for checkpoint in saved] == [16, 12, 8]
    model = job().fine_tuned_model
    names = [model, f"{model}:ckpt-step-12", f"{model}:ckpt-step-8"]
    assert [checkpoint["fine_tuned_model_checkpoint"] for checkpoint in saved] == names
    assert list_checkpoint_models(job()) == names[::-1]
    assert [saved["step_number"] for saved in build_checkpoints(job(), timeline, 115 + 75)] == [12, 8]
    cancelled = job(cancelled_at=170.0)
    assert [
        saved["step_number"]
        for saved in build_checkpoints(cancelled, build_timelines([cancelled], 1)["ftjob-1"], 500)
    ] == [8]
