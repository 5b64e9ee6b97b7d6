"""The life of a job: its states, its transitions, and the decisions that move it on."""
