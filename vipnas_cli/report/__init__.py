"""A run as one HTML file that needs nothing else: pictures, who is where in time, angles, confidence, steadiness."""
