"""The dialect of Nebius Token Factory: training with OpenAI's API, custom models with its own."""
