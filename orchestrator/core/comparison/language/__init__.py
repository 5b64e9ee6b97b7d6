"""The language of answers: recognised where it is certain, and compared with the expected one."""
