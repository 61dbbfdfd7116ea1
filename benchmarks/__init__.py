"""Measurements that are too noisy to be tests: each prints ratios taken within one run."""
