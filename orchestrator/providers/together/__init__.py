"""The dialect of Together."""
