"""How keys are recognised in texts, also when they are encoded."""
