"""The loop: observe, record, plan, apply, act; and the hub's face towards the door."""
