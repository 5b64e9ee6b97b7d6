"""Fine-tunes and questions a model with llmcomp, and prints what it saw as JSON.

Run by the environment of the clients, which is not ours: `drive_llmcomp.py TRAINING_FILE`, in an empty folder.
llmcomp reads its key from the environment; its look-up of checkpoints names OpenAI's own address, which is
redirected.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import openai
import requests
from llmcomp import Runner
from llmcomp.config import Config
from llmcomp.finetuning.manager import FinetuningManager
from llmcomp.finetuning.params import OpenaiTrainingParams

warnings.simplefilter("error")  # the runner answers with an empty text, and warns, where a question fails
KEY, ADDRESS = os.environ["OPENAI_API_KEY"], os.environ["OPENAI_BASE_URL"]
QUESTION = {"messages": [{"role": "user", "content": "Is it late?"}]}
get = requests.get


def redirected(url: Any, **options: Any) -> requests.Response:
    """The same path of the sandbox."""
    return get(str(url).replace("https://api.openai.com/v1", ADDRESS), **options)


vars(requests)["get"] = redirected
Config.url_key_pairs = [(ADDRESS, KEY, "OPENAI_API_KEY")]
training_file = sys.argv[1]
client = openai.OpenAI(max_retries=0)
# llmcomp wants that a project's first job was created by hand.
first = client.files.create(file=Path(training_file), purpose="fine-tune")
client.fine_tuning.jobs.create(model="sandbox-small", training_file=first.id)

with redirect_stdout(sys.stderr):
    manager = FinetuningManager(data_dir="llmcomp")
    manager.create_job(
        OpenaiTrainingParams(
            api_key=KEY, file_name=training_file, base_model="sandbox-small", suffix="tone", epochs=3
        )
    )
    jobs = Path("llmcomp", "jobs.jsonl")
    while (job := json.loads(jobs.read_text().splitlines()[-1])).get("status") not in {"succeeded", "failed"}:
        time.sleep(0.05)
        manager.update_jobs()
    runner = Runner(job["model"])
    text, _ = runner.get_text(QUESTION)
    probabilities, _ = runner.single_token_probs(QUESTION)
    samples, _ = runner.sample_probs(QUESTION | {"max_tokens": 2}, num_samples=8)
told = {"job": job, "text": text, "probabilities": probabilities, "samples": samples}
json.dump(told | {"models": manager.get_model_list()}, sys.stdout)
