"""The dialect of Fireworks."""
