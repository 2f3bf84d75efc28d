"""What networks and whole runs take on this machine: measured, remembered, predicted from parts, chosen by."""
