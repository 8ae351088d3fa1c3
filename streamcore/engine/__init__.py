"""What drives links: the contract with drivers, scripts, timers, events."""
