"""The comparison of the fine-tuned models of a run: probes, distances, statistics, verdicts and the gate."""
