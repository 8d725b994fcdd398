"""What a reading is and means; pure: no I/O, no clock, no event loop."""
