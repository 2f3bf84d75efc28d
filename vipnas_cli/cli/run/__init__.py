"""`vipnas run`: groups of options, the job, and what it says at its end."""
