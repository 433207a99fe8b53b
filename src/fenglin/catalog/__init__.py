"""What is known of devices, and what their use costs."""
