"""The composition root: where the rooms meet.

config    a TOML file -> the settings classes of the rooms
build     one process: doors, queue runner, housekeeping around a store
run       the server: a supervising parent that owns the sockets, a committer, and workers
observe   events -> the log
"""
