"""The dialect of Google's Vertex AI."""
