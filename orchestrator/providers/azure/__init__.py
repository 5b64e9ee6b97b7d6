"""Azure: OpenAI's API for training (`providers/openai`), and the resource manager for deployments."""
