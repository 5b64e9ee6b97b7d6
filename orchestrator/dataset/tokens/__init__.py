"""Counts the tokens of examples: OpenAI's encodings, tokenizers of open models, and totals by base model."""
