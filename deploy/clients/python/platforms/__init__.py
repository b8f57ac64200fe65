"""Commands of ads.adjustments as requests of ad platforms, and what platforms report as records of Paceline.

Pure functions: nothing here opens a connection but `send.py`, and only when asked to. See README.md.
"""
