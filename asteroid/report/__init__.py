"""The reports: a self-contained HTML page for each model, an index of all of them, and a page for each comparison.

Made from the store, cards, certificates and comparisons, so that they can be made again at any time.
"""
