"""The dialects of OpenAI's API: OpenAI, Azure, Nebius and compatible servers."""
