"""The dialect of Amazon Bedrock's model customization."""
