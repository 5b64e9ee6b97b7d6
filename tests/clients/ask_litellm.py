"""Asks one question through LiteLLM's router until every deployment has answered, and prints who answered what.

Run by the environment that has LiteLLM, which is not ours: `ask_litellm.py CONFIGURATION`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import litellm
import yaml

MOST = 100  # questions; the router chooses at random

listed = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))["model_list"]
(group,) = {deployment["model_name"] for deployment in listed}
router = litellm.Router(model_list=listed, num_retries=0)
answers: dict[str, dict[str, str]] = {}
for _ in range(MOST):
    answer = router.completion(model=group, messages=[{"role": "user", "content": "Is it late?"}])
    who = answer._hidden_params["model_id"]
    answers[who] = {"model": answer.model, "text": answer.choices[0].message.content}
    if len(answers) == len(listed):
        break
json.dump(answers, sys.stdout)
