"""The machinery: a plain library that imports no pytest."""
