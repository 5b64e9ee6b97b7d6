"""The bodies of the commands. Each module is imported only when its command runs, because most of them are heavy."""
