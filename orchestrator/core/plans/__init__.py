"""Planning: what a run would do and cost, and what holds it."""
