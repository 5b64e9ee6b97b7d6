"""The simulated behaviour of a provider: the course of jobs, their metrics, the models and their answers."""
