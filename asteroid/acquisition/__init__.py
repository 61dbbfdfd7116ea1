"""Which frames to label next, what that is likely to buy, and when to stop.

Criteria, calibration and stopping are plain functions of arrays; the committee and the exploration need torch.
:mod:`asteroid.stages.rounds` orders them.
"""
