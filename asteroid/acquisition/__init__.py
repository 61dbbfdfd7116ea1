"""Choice of the next frames to label, expected gain, and when to stop.

Criteria, calibration and stopping are plain functions of arrays; the committee and the exploration need torch. Used by
:mod:`asteroid.stages.rounds`.
"""
