"""What follows from readings by a formula: heat, moisture, pressure, rain, level."""
