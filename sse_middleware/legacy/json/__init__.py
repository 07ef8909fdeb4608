"""Finds values in JSON texts in steps, without parsing them."""
