"""The pages about comparisons of a run's models: verdicts, heat map, answers, report and questions."""
