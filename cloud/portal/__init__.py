"""What people see without signing in."""
