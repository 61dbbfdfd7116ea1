"""The report: one self-contained HTML page for each molecule, and an index of all of them.

Made from the store, the model's card and the certificate as plain JSON, so that it can be made again at any time.
"""
