"""Rerun: plans a run's dataset at another provider, for that provider's accounts of the accounts file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from orchestrator import control
from orchestrator.app.wiring import App
from orchestrator.core.account import ProviderName
from orchestrator.core.plans.rerun import Rerun, plan_rerun
from orchestrator.core.spec import RunOptions
from orchestrator.inputs.accounts_file.loader import load_accounts_file


async def prepare_rerun(
    app: App, run_id: str, provider: ProviderName, base_model: str | None
) -> tuple[Rerun, RunOptions, Path]:
    """Return the plan, and the options and the folder of the accounts file.

    Raises ConfigError if the run or its dataset is not stored any more.
    """
    file = await asyncio.to_thread(load_accounts_file, app.settings.accounts_file)
    run, dataset = await control.get_run_with_dataset(app.database, run_id, app.settings.data_dir / "datasets")
    target_accounts = [account for account in file.accounts if account.provider is provider]
    same_name = (definition for definition in file.runs if definition.options.name == run.name)
    current = next(same_name, file.runs[0])
    configured = current.specs[provider].base_model if provider in current.specs else None
    plan = plan_rerun(run, dataset, provider, base_model or configured, target_accounts)
    return plan, current.options, file.folder
