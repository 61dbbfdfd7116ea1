"""What the site needs beyond Sphinx: formulas as MathML, and reference pages made from the code."""
