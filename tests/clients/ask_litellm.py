"""Ask one question through the router of LiteLLM until every deployment has answered, then once more as a stream.

Run by the environment that has LiteLLM, which is not ours: `ask_litellm.py CONFIGURATION [--no-stream]`. Without the
stream where not every provider of the configuration has one: the router chooses at random.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import litellm
import yaml

QUESTION = [{"role": "user", "content": "Is it late?"}]
MAX_QUESTIONS = 500  # questions; the router chooses at random

listed = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))["model_list"]
(group,) = {deployment["model_name"] for deployment in listed}
router = litellm.Router(model_list=listed, num_retries=0)
answers: dict[str, dict[str, str]] = {}
for _ in range(MAX_QUESTIONS):
    answer = router.completion(model=group, messages=QUESTION)
    who = answer._hidden_params["model_id"]
    answers[who] = {"model": answer.model, "text": answer.choices[0].message.content}
    if len(answers) == len(listed):
        break
streamed = ""
if "--no-stream" not in sys.argv:
    chunks = router.completion(model=group, messages=QUESTION, stream=True)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
json.dump({"answers": answers, "streamed": streamed}, sys.stdout)
