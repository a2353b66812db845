"""What a step may use of its machine, and what it says when it may no longer."""
