"""Dispatch: who is due. A port with two adapters; it hands out job ids and knows nothing of what is done with them.

Correctness never rests here: a job handed out twice, late or never is at worst slow, because every step is guarded
by the job's version and its intent.
"""
